"""Screens: how fast the static one reads beside model2vec, how good it is, and a batch in bounded memory.

    python -m benchmarks.screens
    python -m benchmarks.screens --quality ../shared/data/eval/openai_moderation_any.jsonl.gz
    python -m benchmarks.screens --million [--rows 50000]

Rates: the static encoder against model2vec's `StaticModel` on the same vectors, tokeniser and texts, by turns, and the
whole screen from cases to verdicts. Without model2vec (`pip install model2vec`) only our own rates. Quality: AUC over
five folds of a golden set, of a linear head on either's vectors, of the static and of the encoder screen. Million: a
file of short texts through `magistrate batch`, killed on the way and called again; rows, rate and peak memory.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magistrate.case import Case
from magistrate.classifiers.screens.folder import ScreenFolder, ScreenKind, ScreenSettings, write_screen_folder
from magistrate.classifiers.screens.reading import StaticReader, Vectors, reader_of
from magistrate.classifiers.screens.trained import TrainedScreen
from magistrate.encoders.model_folder import ASSETS
from magistrate.encoders.static import StaticEncoder, Windows
from magistrate.encoders.wordpiece import load_tokenizer
from magistrate.evaluate.golden import load_golden
from magistrate.evaluate.interval import linear_interval
from magistrate.evaluate.linear import roc_auc
from magistrate.policy.starter import read_starter
from magistrate.train.screen.fit import fit_head
from magistrate.train.screen.labels import checked, of_golden
from magistrate.types import Content

BAR = 0.7
MEMORY_BAR_MB = 1000
POLICY = "spam"
SHORT = 80
"""Characters of a text that is called short."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Screens.")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quality", type=Path, help="A golden set.")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.quality is not None:
        quality(arguments.quality)
    elif arguments.million:
        million(arguments.rows)
    else:
        rates(arguments.texts, arguments.repeats)


def golden_texts() -> list[str]:
    """All texts of the starter golden sets that are no chats."""
    folder = resources.files("magistrate.policies") / "golden"
    lines = [
        line for file in sorted(folder.iterdir(), key=lambda f: f.name) for line in file.read_text("utf-8").splitlines()
    ]
    return [text for line in lines if isinstance(text := json.loads(line).get("text"), str)]


def short_texts(count: int) -> list[str]:
    """Golden texts, each again with a word of another put before it, so that no two are the same."""
    draw = random.Random(0)
    texts = golden_texts()
    words = sorted({word for text in texts for word in text.split()})
    short = [text for text in texts if len(text) <= SHORT]
    return [f"{draw.choice(words)} {draw.choice(short)}" for _ in range(count)]


def rates(count: int, repeats: int) -> None:
    """Texts a second, by turns so that other work on the machine hits all."""
    texts = short_texts(count)
    with StaticEncoder() as encoder, tempfile.TemporaryDirectory() as folder:
        tokens = sum(windows.ids.size for windows in encoder.windows(texts))
        print(f"{count:,} texts of {tokens / count:.1f} tokens, {repeats} turns; median texts a second (least to most)")
        screen = TrainedScreen(small_screen(Path(folder)))
        runs: dict[str, Callable[[], object]] = {"static encoder": lambda: encoder.encode(texts)}
        reference = model2vec(encoder)
        if reference is None:
            print("model2vec is not installed: own rates only")
        else:
            runs["model2vec"] = lambda: reference(texts)
            same = np.sum(normalised(reference(texts[:500])) * encoder.encode(texts[:500]), axis=1)
            print(f"cosine of the two on 500 texts: mean {same.mean():.4f}, least {same.min():.4f}")
        runs["screen, cases to verdicts"] = lambda: verdicts(screen, texts)
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                found[name].append(count / (time.perf_counter() - started))
    for name, each in found.items():
        print(f"{name:28} {statistics.median(each):>9,.0f} ({min(each):,.0f} to {max(each):,.0f})")
    if "model2vec" in found:
        each = [a / b for a, b in zip(found["static encoder"], found["model2vec"], strict=True)]
        held = "held" if statistics.median(each) >= BAR else "MISSED"
        print(f"ratio {statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f}); bar {BAR}: {held}")


def model2vec(encoder: StaticEncoder) -> Encode | None:
    """model2vec's own reader of the same vectors; None where it is not installed."""
    if importlib.util.find_spec("model2vec") is None:
        return None
    # Not a type checker's business: it need not be installed.
    model = importlib.import_module("model2vec").StaticModel(
        encoder.table.copy(), load_tokenizer(ASSETS), normalize=True
    )
    return lambda texts: np.asarray(model.encode(list(texts), use_multiprocessing=False), np.float32)


def normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def verdicts(screen: TrainedScreen, texts: Sequence[str]) -> None:
    """From strings to verdicts with rationales."""
    policy = read_starter(POLICY)
    cases = [Case(policy, Content.of_text(text)) for text in texts]

    async def run() -> None:
        await screen.__aenter__()
        await screen.judge_many(cases)

    asyncio.run(run())


def small_screen(folder: Path) -> Path:
    """A screen fitted on the golden set of a starter policy; good enough to run."""
    policy = read_starter(POLICY)
    golden = resources.files("magistrate.policies") / "golden" / f"{POLICY}.jsonl"
    with resources.as_file(golden) as path:
        labels = checked(of_golden(load_golden(path)), source=POLICY)
    with StaticReader() as reader:
        fitted = fit_head(
            reader.vectors([one.text for one in labels.texts]), labels.truth, labels.clusters, reader.vocabulary
        )
        settings = ScreenSettings(
            kind=ScreenKind.STATIC,
            vectors=reader.name,
            policy=policy.name,
            policy_digest=policy.digest,
            threshold=fitted.threshold,
            cases=len(labels.texts),
            violations=int(labels.truth.sum()),
            made=date(2026, 1, 1),
        )
    write_screen_folder(folder, ScreenFolder(settings=settings, head=fitted.head))
    return folder


def quality(path: Path) -> None:
    """AUC over folds, with intervals."""
    labels = checked(of_golden(load_golden(path)), source=path.name, drop_contradictions=True)
    texts = [one.text for one in labels.texts]
    print(f"{path.name}: {len(texts):,} texts, {int(labels.truth.sum()):,} violations; AUC over five folds")

    def show(name: str, vectors: Vectors, vocabulary: int) -> None:
        fitted = fit_head(vectors, labels.truth, labels.clusters, vocabulary, may_be_chance=True)
        auc = roc_auc(labels.truth, fitted.out_of_fold)
        bounds = None if auc is None else linear_interval(auc, labels.clusters)
        if auc is not None and bounds is not None:
            print(f"{name:42} {auc.value:.3f} ({bounds.low:.3f} to {bounds.high:.3f})")

    with StaticReader() as reader:
        vectors = reader.vectors(texts)
        show("static screen (vectors and tokens)", vectors, reader.vocabulary)
        show("linear head on our static vectors", vectors, 0)
        reference = model2vec(reader.encoder)
        if reference is not None:
            numbers = np.arange(len(texts))
            same = Windows(np.zeros(len(texts), np.int32), numbers, numbers)
            show("linear head on model2vec's reading of them", Vectors(reference(texts), same), 0)
    with reader_of(ScreenKind.ENCODER) as states:
        show("encoder screen", states.vectors(texts), 0)


def million(rows: int) -> None:
    """A batch that is killed once on the way."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source, out = folder / "posts.jsonl", folder / "verdicts.jsonl"
        with source.open("w", encoding="utf-8") as file:
            for start in range(0, rows, 10_000):
                texts = short_texts(min(10_000, rows - start))
                file.writelines(
                    json.dumps({"id": str(start + at), "text": f"{start + at} {text}"}) + "\n"
                    for at, text in enumerate(texts)
                )
        command = [sys.executable, "-m", "magistrate", "batch", str(source), "--policy", POLICY, "--no-log", "--quiet"]
        command += ["--model", str(small_screen(folder / "screen")), "--out", str(out)]
        first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while first.poll() is None and (not out.exists() or sum(1 for _ in out.open("rb")) < rows // 3):
            time.sleep(1)
        first.kill()
        first.wait()
        kept = sum(1 for _ in out.open("rb"))
        print(f"killed with {kept:,} of {rows:,} rows written")
        started = time.perf_counter()
        subprocess.run(command, check=True)
        elapsed = time.perf_counter() - started
        with out.open("rb") as lines:
            found = [json.loads(line)["id"] for line in lines]
        assert found == [str(number) for number in range(rows)], "a row is lost, twice or out of order"
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        held = "held" if peak < MEMORY_BAR_MB else "MISSED"
        print(f"{rows:,} rows complete and in order; {(rows - kept) / elapsed:,.0f} rows/s after the kill")
        print(f"peak memory {peak:.0f} MB; bar {MEMORY_BAR_MB} MB: {held}")
        shutil.rmtree(folder / "screen")


if __name__ == "__main__":
    main()
