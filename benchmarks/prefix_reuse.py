"""What reusing the policy's part of the prompt saves in vLLM, and what the library costs over the bare engine.

    python -m benchmarks.prefix_reuse FOLDER [--turns 8] [--budget 1]

FOLDER holds a checkpoint, such as scripts/smollm_checkpoint.py writes. Two engines run, one with and one without
prefix caching, each in a process of its own, and take turns. Every turn judges 32 new texts under a policy of 900
tokens, one token each, and begins with an empty cache: the policy is worked out once in it. Times are of the wall
clock, ratios are of two calls of one turn, their intervals are a bootstrap over the turns (95 %). The engines' work is
done in their own processes, so what this process adds to the bare engine is also told by its own CPU time, which the
load of the machine moves little.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from magistrate.backends.engine import EngineBackend
from magistrate.backends.vllm import VllmEngine
from magistrate.case import Case
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.registry import dialect_named
from magistrate.policy.model import Policy
from magistrate.types import Content, Sampling

CASES, POLICY_TOKENS, CONTENT_WORDS = 32, 900, 20
LEAST_RATIO, MOST_OVERHEAD = 3.0, 0.05
KV_CACHE_BYTES = 1 << 30
WORDS = re.findall(
    r"\w+",
    "offer group meeting crypto reply market photo weather recipe train bonus link friend doctor free winner game "
    "school music claim price number guest city river pay double order code account",
)


def main() -> None:
    """Read the arguments, measure, and print."""
    parser = argparse.ArgumentParser(description="Measure prefix reuse in vLLM.")
    parser.add_argument("folder")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--budget", type=int, default=1, help="tokens an answer")
    given = parser.parse_args()
    # Two engines can't share a process: each gets one for its core. Read by vLLM at its import.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
    # On a CPU both would be bound to the same cores, and leave others idle.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    asyncio.run(measure(given.folder, given.turns, given.budget))


@dataclass(frozen=True, slots=True)
class Engines:
    """One engine and the two ways to ask it."""

    engine: VllmEngine
    reasoner: Reasoner

    @property
    def bare(self) -> Any:
        """vLLM's own object. Any: vLLM is not installed where types are checked."""
        return self.engine._llm  # pyright: ignore[reportPrivateUsage]


async def measure(folder: str, turns: int, budget: int) -> None:
    """Load both engines, let them take turns, and report."""
    reusing, plain = (_engines(folder, budget, reuse=reuse) for reuse in (True, False))
    async with reusing.reasoner, plain.reasoner:
        policy = _policy(lambda text: len(reusing.bare.get_tokenizer().encode(text)))
        draw = random.Random(7)
        times: list[dict[str, float]] = []
        for turn in range(turns + 1):
            took = await _turn(reusing, plain, [Case(policy, _text(draw)) for _ in range(CASES)], budget, turn)
            said = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
            print(f"turn {turn}: {said}" if turn else f"to warm up: {said}", flush=True)
            times += [took] if turn else []
    _report(times)


async def _turn(reusing: Engines, plain: Engines, cases: Sequence[Case], budget: int, turn: int) -> dict[str, float]:
    """Every way once; library and bare engine in turned order from turn to turn."""
    prompts = _prompts(reusing.engine, cases)
    took: dict[str, float] = {}

    async def judge(name: str, engines: Engines) -> None:
        engines.bare.reset_prefix_cache()
        begun, busy = time.perf_counter(), time.process_time()
        await engines.reasoner.judge_many(cases)
        took[name] = time.perf_counter() - begun
        took[f"{name}, here"] = time.process_time() - busy

    async def generate(name: str, engines: Engines) -> None:
        from vllm import SamplingParams  # type: ignore[import-not-found, unused-ignore]  # pyright: ignore[reportMissingImports]

        engines.bare.reset_prefix_cache()
        given = [{"prompt_token_ids": prompt} for prompt in prompts]
        sampling = SamplingParams(max_tokens=budget, temperature=0.0, detokenize=False)
        begun, busy = time.perf_counter(), time.process_time()
        engines.bare.generate(given, sampling, use_tqdm=False)
        took[name] = time.perf_counter() - begun
        took[f"{name}, here"] = time.process_time() - busy

    for library in (True, False) if turn % 2 else (False, True):
        await (judge("reuse", reusing) if library else generate("bare", reusing))
    if turn:  # to warm up, nothing is compared
        await judge("no reuse", plain)
    return took


def _engines(folder: str, budget: int, *, reuse: bool) -> Engines:
    engine = VllmEngine(folder, context_tokens=2048, prefix_caching=reuse, kv_cache_bytes=KV_CACHE_BYTES, eager=True)
    sampling = Sampling(max_output_tokens=budget, temperature=0.0)
    dialect = dialect_named("safeguard.binary.v1")
    return Engines(engine, Reasoner(dialect, EngineBackend(engine), sampling=sampling, max_attempts=1))


def _prompts(engine: VllmEngine, cases: Sequence[Case]) -> list[list[int]]:
    dialect = dialect_named("safeguard.binary.v1")
    requests = [dialect.render(case.policy, case.content) for case in cases]
    return sorted(list(engine.template(request.messages, None)) for request in requests)


def _policy(count: Callable[[str], int]) -> Policy:
    """A policy of 900 tokens."""
    draw = random.Random(3)
    lines = ["# Spam", "", "## Violates", ""]
    while count("\n".join(lines)) < POLICY_TOKENS:
        lines.append(f"- SP{len(lines)}: posts that {' '.join(draw.choice(WORDS) for _ in range(12))}")
    return Policy.parse("\n".join([*lines, "", "## Safe", "", "- OK1: everything else"]), name="spam")


def _text(draw: random.Random) -> Content:
    return Content.of_text(" ".join(draw.choice(WORDS) for _ in range(CONTENT_WORDS)))


def _report(times: Sequence[dict[str, float]]) -> None:
    gain = _ratio([took["no reuse"] / took["reuse"] for took in times])
    cost = _ratio([took["reuse"] / took["bare"] for took in times])
    own = _ratio([1 + (took["reuse, here"] - took["bare, here"]) / took["bare"] for took in times])
    print(f"\n{CASES} cases, policy of {POLICY_TOKENS} tokens, {len(times)} turns")
    print(f"reuse over no reuse:                    {_shown(gain)}   bar: at least {LEAST_RATIO}")
    print(f"library over the bare engine:           {_shown(cost)}   bar: below {1 + MOST_OVERHEAD}")
    print(f"the same by this process's CPU time:    {_shown(own)}")


def _ratio(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean with the interval of a bootstrap over turns."""
    draw = random.Random(1)
    logs = [math.log(ratio) for ratio in ratios]
    means = sorted(statistics.fmean(draw.choices(logs, k=len(logs))) for _ in range(4000))
    return math.exp(statistics.fmean(logs)), math.exp(means[100]), math.exp(means[-100])


def _shown(ratio: tuple[float, float, float]) -> str:
    middle, low, high = ratio
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
