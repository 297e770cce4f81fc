"""Throughput of the embedded judge against the bare encoder, in the same run and on the same texts.

    python benchmarks/encoder_throughput.py

Bare: the int8 graph on onnxruntime, texts already tokenised, no head and no policy, at the best of several
settings (batches of 1 to 32 inside one run with all threads, or one run a thread). Judge: `ClauseMatcher.judge_many`
under a policy of 12 rules, from strings to verdicts with evidence. Texts are the starter golden sets joined to about
120 tokens, once with those that hold disguised words, of which a part is read twice, and once without. The two take
turns, so that other work on the machine hits both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from magistrate.case import Case
from magistrate.classifiers.clause_matcher import ClauseMatcher
from magistrate.classifiers.disguise import second_reading
from magistrate.encoders.minilm import FIRST_TOKEN, LAST_TOKEN, MiniLmEncoder, usable_processors
from magistrate.encoders.model_folder import ASSETS, GRAPH, TOKENIZER
from magistrate.policy.model import Policy
from magistrate.types import Content

TOKENS = 120
BAR = 0.7
POLICY = """# Marketplace messages

## Violates
- M1. (high) Asks the buyer to pay outside the marketplace.
- M2. (high) Sends a link that asks for a password or a card number.
- M3. (medium) Advertises another shop, channel or coupon.
- M4. (medium) Threatens or insults the other side.
- M5. (high) Offers weapons, drugs or stolen goods.
- M6. (low) Repeats the same message many times.

## Allowed
- A1. Questions about size, condition, colour or delivery.
- A2. Haggling over the price.
- A3. Complaints about late or damaged goods.
- A4. Arranging a time and a place to collect an item.
- A5. Warnings about scams, quoting them or not.
- A6. Small talk, thanks and greetings.
"""

Settings = tuple[int, bool]
"""Texts a batch, and whether each thread has a run of its own."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Throughput of the embedded judge.")
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=usable_processors())
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(ASSETS / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for plain in (False, True):
        measure(tokenizer, join_texts(tokenizer, arguments.texts, plain=plain), arguments)


def measure(tokenizer: Tokenizer, texts: Sequence[str], arguments: argparse.Namespace) -> None:
    """Measure and print on some texts."""
    disguised = sum(second_reading(text) is not None for text in texts)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    ids = [[FIRST_TOKEN, *row, LAST_TOKEN] for row in rows]
    tokens = statistics.mean(map(len, ids))
    print(f"{len(ids)} texts of {tokens:.0f} tokens, {disguised} with disguised words, {arguments.threads} threads")
    settings, bare = choose_bare(ids, arguments.threads)
    print(f"bare encoder at its best: {describe(settings)}")
    asyncio.run(compare(texts, bare, threads=arguments.threads, repeats=arguments.repeats))


def join_texts(tokenizer: Tokenizer, count: int, *, plain: bool) -> list[str]:
    """Join golden cases, in a fixed order, until each text has about `TOKENS` tokens; `plain`: none in disguise."""
    folder = resources.files("magistrate.policies") / "golden"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".jsonl")), key=lambda f: f.name)
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    parts = [row["text"] for row in rows if "text" in row and not (plain and second_reading(row["text"]))]
    np.random.default_rng(0).shuffle(parts)
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(parts, add_special_tokens=False)]
    texts: list[str] = []
    at = 0
    while len(texts) < count:
        chosen: list[str] = []
        total = 0
        while total < TOKENS - 15:
            if total + lengths[at % len(parts)] <= TOKENS + 15:
                chosen.append(parts[at % len(parts)])
                total += lengths[at % len(parts)]
            at += 1
        texts.append(" ".join(chosen))
    return texts


def choose_bare(ids: Sequence[Sequence[int]], threads: int) -> tuple[Settings, Callable[[], None]]:
    """The fastest way to run the graph, by the best of three passes each."""
    ordered = sorted(ids, key=len)
    options: list[Settings] = [(1, True), (4, True), (8, True), (1, False), (4, False), (8, False), (32, False)]
    runs = {settings: bare_run(ordered, settings, threads) for settings in options}
    speeds = {settings: min(seconds(run) for _ in range(3)) for settings, run in runs.items()}
    best = min(speeds, key=lambda settings: speeds[settings])
    return best, runs[best]


def bare_run(ids: Sequence[Sequence[int]], settings: Settings, threads: int) -> Callable[[], None]:
    """A function that embeds all texts once."""
    size, side_by_side = settings
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1 if side_by_side else threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = ort.InferenceSession(str(ASSETS / GRAPH), options, providers=["CPUExecutionProvider"])
    batches = [pad(ids[at : at + size]) for at in range(0, len(ids), size)]

    def embed(batch: dict[str, NDArray[np.generic]]) -> None:
        session.run(["states"], batch)

    def run() -> None:
        with ThreadPoolExecutor(threads if side_by_side else 1) as workers:
            list(workers.map(embed, batches))

    return run


def pad(ids: Sequence[Sequence[int]]) -> dict[str, NDArray[np.generic]]:
    """Input of one batch."""
    rows = np.zeros((len(ids), max(map(len, ids))), np.int64)
    for row, text in zip(rows, ids, strict=True):
        row[: len(text)] = text
    return {"input_ids": rows}


def describe(settings: Settings) -> str:
    """Settings in words."""
    size, side_by_side = settings
    return f"batches of {size}, " + ("one run a thread" if side_by_side else "all threads in one run")


def seconds(run: Callable[[], None]) -> float:
    """Time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


async def compare(texts: Sequence[str], bare: Callable[[], None], *, threads: int, repeats: int) -> None:
    """Let both take turns and print texts a second and the ratio of each pair."""
    policy = Policy.parse(POLICY, name="marketplace")
    cases = [Case(policy, Content.of_text(text)) for text in texts]
    pairs: list[tuple[float, float]] = []
    async with ClauseMatcher(MiniLmEncoder(threads=threads)) as matcher:
        await matcher.judge_many(cases[:8])
        for turn in range(repeats):
            times: dict[str, float] = {}
            for who in ("bare", "judge") if turn % 2 == 0 else ("judge", "bare"):
                started = time.perf_counter()
                if who == "bare":
                    bare()
                else:
                    await matcher.judge_many(cases)
                times[who] = time.perf_counter() - started
            pairs.append((len(texts) / times["bare"], len(texts) / times["judge"]))
    print(f"policy of {len(policy.rules)} rules, {repeats} pairs: min, median, max")
    print(f"  bare encoder  {spread([one for one, _ in pairs])} texts/s")
    print(f"  judge         {spread([two for _, two in pairs])} texts/s")
    print(f"  ratio         {spread([two / one for one, two in pairs], digits=2)} (promised: {BAR} at the median)")


def spread(values: Sequence[float], *, digits: int = 1) -> str:
    """Least, median and greatest."""
    return "  ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


if __name__ == "__main__":
    main()
