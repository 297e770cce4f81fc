"""What sharing a policy's keys and values gains in Transformers: cases a second with and without.

    python benchmarks/transformers_prefix.py MODEL [--cases 32] [--policy-tokens 900] [--output 1]

MODEL is a folder or a GGUF file. "without" asks each batch as it would be asked without sharing: all tokens of all
prompts, padded on the left, in batches of the same size.
"""

from __future__ import annotations

import argparse
import time

from magistrate.backends.engine import Prompt
from magistrate.backends.transformers import TransformersEngine
from magistrate.types import Message, Role

WORDS = "A message that offers goods, jobs, coins or friendship which nobody asked for is a violation of this rule. "
CASES = "Hello, I saw your post about the old bicycle and would like to know whether it is still there, number "


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--cases", type=int, default=32)
    parser.add_argument("--policy-tokens", type=int, default=900)
    parser.add_argument("--output", type=int, default=1, help="tokens an answer")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    seconds: dict[bool, float] = {}
    for share in (False, True):
        engine = TransformersEngine(
            arguments.model, device="cpu", dtype=arguments.dtype, batch_size=arguments.batch_size, share=share
        )
        engine.load()
        prompts = make_prompts(engine, arguments.policy_tokens, arguments.cases, arguments.output)
        seconds[share] = run(engine, prompts)
        engine.close()
    print(
        f"{arguments.cases} prompts of {len(prompts[0].token_ids)} tokens, {arguments.output} tokens each: "
        f"{arguments.cases / seconds[False]:.2f} cases/s without sharing, {arguments.cases / seconds[True]:.2f} with, "
        f"{seconds[False] / seconds[True]:.1f} times as many"
    )


def make_prompts(engine: TransformersEngine, policy_tokens: int, cases: int, output: int) -> list[Prompt]:
    """Prompts under one policy of about so many tokens."""
    policy = WORDS
    while len(engine.template([Message(Role.SYSTEM, policy + WORDS)], None)) < policy_tokens:
        policy += WORDS
    chats = [[Message(Role.SYSTEM, policy), Message(Role.USER, f"{CASES}{number}.")] for number in range(cases)]
    rendered = sorted(engine.template(chat, None) for chat in chats)
    return [Prompt(token_ids=tokens, max_output_tokens=output, temperature=0.0) for tokens in rendered]


def run(engine: TransformersEngine, prompts: list[Prompt]) -> float:
    """Seconds for all prompts, after a short one to warm up."""
    engine.generate([Prompt(token_ids=prompts[0].token_ids[-20:], max_output_tokens=1, temperature=0.0)])
    started = time.perf_counter()
    engine.generate(prompts)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
