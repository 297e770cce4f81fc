"""What our screens say of recorded items: the embedded judge under related policies, and linear heads.

Everything is kept in `build/cascade/`, by the digest of the model and of the text, and added to as it is made: a run
that is stopped goes on where it was. No text of ToxicChat trains a screen: the heads are fitted on the bundles in
`HEADS` of ../shared/data, and texts that are recorded too are left out.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from magistrate.case import Case
from magistrate.classifiers.cascade.signals import logit
from magistrate.classifiers.clause_matcher import DIALECT, ClauseMatcher
from magistrate.digest import bytes_digest, text_digest
from magistrate.encoders.minilm import MiniLmEncoder
from magistrate.policy.model import Policy
from magistrate.types import Content, Failed, Verdict

BUILD = Path("build") / "cascade"
PANEL = ("openai_moderation_any", "jigsaw_toxicity", "harmreq_any")
"""Policies of ../shared/data that are near to toxicity; none was written for ToxicChat."""
HEADS = {
    "abuse": ("jigsaw_toxicity", "surge_toxicity", "olid_offensive", "davidson_offensive"),
    "requests": ("harmreq_any", "harmreq_sexual", "jailbreak_attempt", "topic_not_banking"),
}
"""Linear heads, each fitted on the train files of these bundles."""
ROWS = 700
"""Of each bundle, the first ones after a fixed shuffle."""
CHUNK = 40
CHARACTERS = 1500

Floats = NDArray[np.float64]


class Kept:
    """Numbers by text, in a file of JSON lines that grows."""

    def __init__(self, name: str, identity: str) -> None:
        BUILD.mkdir(parents=True, exist_ok=True)
        self._path = BUILD / f"{name}-{text_digest(identity)[7:19]}.jsonl"
        self._rows: dict[str, list[float]] = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                key, values = json.loads(line)
                self._rows[key] = values

    def table(self, texts: Sequence[str], make: Callable[[Sequence[str]], Sequence[Sequence[float]]]) -> Floats:
        """(n_texts, n_values): kept ones, and what `make` gives of the others, a chunk at a time."""
        keys: list[str] = [text_digest(text) for text in texts]
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}.items())
        for at in range(0, len(missing), CHUNK):
            chunk = missing[at : at + CHUNK]
            made = make([text for _, text in chunk])
            rows: dict[str, list[float]] = {
                key: [round(float(v), 5) for v in values] for (key, _), values in zip(chunk, made, strict=True)
            }
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows.items())
            self._rows.update(rows)
            print(f"  {self._path.name}: {at + len(chunk)} of {len(missing)}", flush=True)
        return np.array([self._rows[key] for key in keys], np.float64)


def judge_scores(texts: Sequence[str], policies: Mapping[str, Policy]) -> Floats:
    """(n_items, n_policies): logits of the embedded judge."""
    encoder = MiniLmEncoder()
    kept = Kept("judge", "\n".join([DIALECT, model_digest(encoder), *(policy.digest for policy in policies.values())]))

    async def judge(chunk: Sequence[str]) -> list[list[float]]:
        contents = [Content.of_text(text[:CHARACTERS] or " ") for text in chunk]
        async with ClauseMatcher(encoder) as judge:
            verdicts = await judge.judge_many([Case(p, content) for content in contents for p in policies.values()])
        return [[_logit(v) for v in verdicts[at : at + len(policies)]] for at in range(0, len(verdicts), len(policies))]

    return kept.table(texts, lambda chunk: anyio.run(judge, chunk))


def _logit(verdict: Verdict) -> float:
    """0, that of one half, where the judge says nothing (a text without words)."""
    known = None if isinstance(verdict, Failed) else verdict.probability
    return 0.0 if known is None else logit(known)


def model_digest(encoder: MiniLmEncoder) -> str:
    """Name the shipped model by the bytes of its graph."""
    return bytes_digest((encoder.folder.path / "model.int8.onnx").read_bytes())


def panel_policies(own: Mapping[str, Policy], data: Path) -> dict[str, Policy]:
    """What the embedded judge is asked about: recorded policies that have several rules, and related ones."""
    related = {name: Policy.read(data / "policies" / f"{name}.md") for name in PANEL}
    return {name: policy for name, policy in own.items() if len(policy.rules) > 1} | related


@contextmanager
def _states(name: str) -> Generator[Callable[[Sequence[str]], Floats], None, None]:
    with MiniLmEncoder() as encoder:
        kept = Kept(name, model_digest(encoder))
        yield lambda texts: kept.table(
            [text[:CHARACTERS] or " " for text in texts], lambda chunk: encoder.encode(chunk).tolist()
        )


def linear_scores(texts: Sequence[str], data: Path) -> Floats:
    """(n_texts, n_heads): logits of linear heads on the mean state of the encoder."""
    recorded = {_plain(text) for text in texts}
    with _states("states") as states:
        own = states(texts)
        columns = [_head(states, names, data, recorded)(own) for names in HEADS.values()]
    return np.column_stack(columns)


def all_scores(texts: Sequence[str], own: Mapping[str, Policy], data: Path) -> Floats:
    """(n_texts, 4): what the screens `panel`, `abuse`, `requests` and `chat` say, as logits."""
    panel = judge_scores(texts, panel_policies(own, data)).mean(axis=1)
    return np.column_stack([panel, linear_scores(texts, data), chat_scores(texts, data)])


def chat_scores(texts: Sequence[str], data: Path) -> Floats:
    """(n_texts,): logits of the screen for what people ask of assistants; it is tuned first where it is not kept."""
    from benchmarks.chat_screen import SCREEN_FILE, chat_screen  # loads torch

    BUILD.mkdir(parents=True, exist_ok=True)
    screen = chat_screen(data, BUILD, without={text.strip().lower() for text in texts})
    kept = Kept("chat", bytes_digest((BUILD / SCREEN_FILE).read_bytes()))
    return kept.table(texts, lambda chunk: [[score] for score in screen.scores(chunk)])[:, 0]


def _head(
    states: Callable[[Sequence[str]], Floats], bundles: Sequence[str], data: Path, recorded: set[str]
) -> Callable[[Floats], Floats]:
    rows = [
        row for name in bundles for row in _rows(data / "train" / f"{name}.jsonl.gz") if _plain(row[0]) not in recorded
    ]
    model = LogisticRegression(C=0.3, max_iter=500, class_weight="balanced")
    model.fit(states([text for text, _ in rows]), [label for _, label in rows])
    return lambda values: np.asarray(model.decision_function(values), np.float64)


def _rows(path: Path) -> list[tuple[str, int]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if "text" in row]
    chosen = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    return [(rows[at]["text"][:400], int(rows[at]["label"])) for at in chosen]


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()
