"""What sharing a policy's part gains in llama.cpp: cases a second of CPU, in three ways.

    python benchmarks/llamacpp_prefix.py MODEL.gguf [--cases 32] [--policy-tokens 900] [--output 1]

"apart" computes every prompt whole; "successive" asks one prompt after another, each going on from what it shares with
the one before; "together" has eight in work at once, which go on from one beginning. Time is that of the process on one
thread, so that other work on the machine changes it little; wall time is printed too.
"""

from __future__ import annotations

import argparse
import time

from magistrate.backends.engine import Prompt
from magistrate.backends.llamacpp import LlamaCppEngine
from magistrate.types import Message, Role

WORDS = "A message that offers goods, jobs, coins or friendship which nobody asked for is a violation of this rule. "
CASES = "Hello, I saw your post about the old bicycle and would like to know whether it is still there, number "
WAYS = {"together": (8, True), "successive": (1, True), "apart": (1, False)}


def main() -> None:
    """Measure, and print one line a way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--cases", type=int, default=32)
    parser.add_argument("--policy-tokens", type=int, default=900)
    parser.add_argument("--output", type=int, default=1, help="tokens an answer")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for way, (parallel, share) in WAYS.items():
        engine = LlamaCppEngine(
            arguments.model, context_tokens=8192, threads=arguments.threads, parallel=parallel, share=share
        )
        engine.load()
        prompts = make_prompts(engine, arguments.policy_tokens, arguments.cases, arguments.output)
        cpu, wall = run(engine, prompts)
        engine.close()
        tokens = sum(len(prompt.token_ids) for prompt in prompts)
        print(
            f"{way}: {len(prompts)} prompts, {tokens} tokens, {arguments.output} each: {cpu:.2f} s of CPU, "
            f"{arguments.cases / cpu:.2f} cases/s of CPU, {wall:.2f} s by the clock",
            flush=True,
        )


def make_prompts(engine: LlamaCppEngine, policy_tokens: int, cases: int, output: int) -> list[Prompt]:
    """Prompts under one policy of about so many tokens."""
    policy = WORDS
    while len(engine.template([Message(Role.SYSTEM, policy + WORDS)], None)) < policy_tokens:
        policy += WORDS
    chats = [[Message(Role.SYSTEM, policy), Message(Role.USER, f"{CASES}{number}.")] for number in range(cases)]
    rendered = sorted(engine.template(chat, None) for chat in chats)
    return [Prompt(token_ids=tokens, max_output_tokens=output, temperature=0.0) for tokens in rendered]


def run(engine: LlamaCppEngine, prompts: list[Prompt]) -> tuple[float, float]:
    """Seconds of CPU and by the clock for all prompts, after a short one to warm up."""
    engine.generate([Prompt(token_ids=prompts[0].token_ids[-20:], max_output_tokens=1, temperature=0.0)])
    cpu, wall = time.process_time(), time.perf_counter()
    engine.generate(prompts)
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
