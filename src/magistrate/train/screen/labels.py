"""Labelled texts for a screen: from a golden set or from a reasoner's verdicts in the decision log, and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magistrate.classifiers.screens.trained import judged_text
from magistrate.digest import bytes_digest
from magistrate.errors import InputError
from magistrate.evaluate.golden import GoldenCase, GoldenSet
from magistrate.evaluate.truth import truth_of_word
from magistrate.policy.model import Policy
from magistrate.row import Outcome
from magistrate.store.log import DecisionLog, LoggedDecision, Where
from magistrate.types import Content

FEWEST_CASES = 40
FEWEST_OF_A_CLASS = 10
"""Five folds of two: with fewer, neither the strength of the head nor its probabilities can be told."""
SHOWN = 3
"""Contradictions that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledText:
    """A content with whether it violates the policy."""

    id: str
    content: Content
    violation: bool
    cluster: str = ""
    """What belongs together and must not be split; empty for a case of its own."""
    reasoner: bool | None = None
    """What a reasoner said of it; None where that is not known."""

    @property
    def text(self) -> str:
        """What a screen reads."""
        return judged_text(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labelled texts, each text once, fit for training."""

    texts: tuple[LabelledText, ...]
    source: str
    """Where they are from, for the card."""
    repeated: int
    """Rows that were left out because their text had come before, with the same label."""
    contradicting: int
    """Texts that were left out because they had both labels."""

    @property
    def truth(self) -> NDArray[np.bool_]:
        """(texts,)"""
        return np.array([one.violation for one in self.texts], np.bool_)

    @property
    def clusters(self) -> NDArray[np.int64]:
        """(texts,): numbers of what belongs together."""
        numbers: dict[str, int] = {}
        names = [one.cluster or f"\0{place}" for place, one in enumerate(self.texts)]
        return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def of_golden(golden: GoldenSet, *, reasoner_column: str | None = None) -> list[LabelledText]:
    """The cases of a golden set.

    Args:
        golden: As read.
        reasoner_column: A column with what a reasoner said: true, false, or words that mean them.

    Raises:
        InputError: the column is not there, or a cell is no verdict.
    """
    if reasoner_column is not None and reasoner_column not in golden.columns.unused:
        raise InputError(
            f"{golden.name!r} has no column {reasoner_column!r} with verdicts of a reasoner",
            hint=f"columns that mean nothing else: {', '.join(golden.columns.unused) or 'none'}",
        )
    return [
        LabelledText(
            id=case.id,
            content=case.content,
            violation=case.violation,
            cluster=case.cluster,
            reasoner=None if reasoner_column is None else _said(case, reasoner_column, golden.name),
        )
        for case in golden.cases
    ]


def of_log(log: DecisionLog, policy: Policy, *, model: str | None = None) -> list[LabelledText]:
    """A reasoner's verdicts under the policy, where the log kept the content.

    Args:
        log: Open.
        policy: Only verdicts under this very version count.
        model: Only verdicts of this model; None for every judge that was called over tokens.

    Raises:
        InputError: there is none.
        StoreError: the log cannot be read.
    """
    decided = [
        decision
        for decision in log.rows(Where(policy=policy.digest, outcome=Outcome.DECIDED), newest_first=False)
        if (decision.row.usage.calls > 0 if model is None else decision.row.model == model)
    ]
    found = [_of_decision(decision, decision.content) for decision in decided if decision.content is not None]
    if not found:
        raise InputError(_why_none(decided, policy, model), hint=_NONE_HINT)
    return found


_NONE_HINT = (
    "judge some content with a reasoner and keep it: `keep_content = true` under [log] in magistrate.toml, then "
    "`magistrate batch ... --model NAME`"
)


def _why_none(decided: Sequence[LoggedDecision], policy: Policy, model: str | None) -> str:
    of = "a reasoner" if model is None else repr(model)
    if decided:
        return f"the log holds {len(decided):,} verdicts of {of} under {policy.name!r}, none with its content"
    return f"the log holds no verdict of {of} under this version of {policy.name!r} ({policy.digest[:19]}…)"


def _of_decision(decision: LoggedDecision, content: Content) -> LabelledText:
    violation = decision.row.violation is True
    return LabelledText(id=decision.row.id or str(decision.log_id), content=content, violation=violation)


def _said(case: GoldenCase, column: str, name: str) -> bool | None:
    value = case.columns.get(column)
    if value is None or value == "":
        return None
    truth = truth_of_word(str(value), None)
    if truth is None:
        raise InputError(
            f"{name!r}, {case.place or case.id}: {column} is {str(value)[:40]!r}, which is no verdict",
            hint="true or false, 1 or 0, yes or no, violation or allowed",
        )
    return truth.violation


def checked(found: Iterable[LabelledText], *, source: str, drop_contradictions: bool = False) -> Labels:
    """Each text once, and enough of both classes.

    Args:
        found: In any order.
        source: For the card and for errors.
        drop_contradictions: Leave out texts that have both labels; otherwise they are an error.

    Raises:
        InputError: no text, both labels for one text, one class only, or too few: says what is missing.
    """
    by_text: dict[bytes, list[LabelledText]] = {}
    for one in found:
        by_text.setdefault(_key(one.text), []).append(one)
    if not by_text:
        raise InputError(f"{source} holds no labelled text", hint='one JSON object a line: {"text", "violation"}')
    both = [group for group in by_text.values() if len({one.violation for one in group}) > 1]
    if both and not drop_contradictions:
        raise _contradiction(both, source)
    kept = [group for group in by_text.values() if len({one.violation for one in group}) == 1]
    labels = Labels(
        texts=tuple(group[0] for group in kept),
        source=source,
        repeated=sum(len(group) - 1 for group in kept),
        contradicting=len(both),
    )
    _check_enough(labels)
    return labels


def _key(text: str) -> bytes:
    """Texts that differ in case and spaces alone are the same to a screen."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass")).digest()


def _contradiction(groups: Sequence[Sequence[LabelledText]], source: str) -> InputError:
    shown = "; ".join(", ".join(f"{one.id} {_word(one.violation)}" for one in group[:2]) for group in groups[:SHOWN])
    return InputError(
        f"{source}: {len(groups):,} texts have both labels, such as {shown}",
        hint="mend the labels, or leave such texts out: --drop-contradictions",
    )


def _check_enough(labels: Labels) -> None:
    counts: Mapping[bool, int] = {side: int(np.sum(labels.truth == side)) for side in (True, False)}
    total = len(labels.texts)
    for side, count in counts.items():
        if not count:
            raise InputError(
                f"{labels.source}: all {total:,} labelled texts are {_word(not side)}, none is {_word(side)}",
                hint=f"add at least {FEWEST_OF_A_CLASS} texts that are {_word(side)} under this policy",
            )
    missing = [
        f"{FEWEST_OF_A_CLASS - count} more that are {_word(side)}"
        for side, count in counts.items()
        if count < FEWEST_OF_A_CLASS
    ]
    if not missing and total < FEWEST_CASES:
        missing = [f"{FEWEST_CASES - total} more of any kind"]
    if missing:
        raise InputError(
            f"{labels.source}: {total:,} labelled texts ({counts[True]:,} violations) are too few for a screen, which "
            f"needs {FEWEST_CASES}, {FEWEST_OF_A_CLASS} of them of each class",
            hint=f"label {' and '.join(missing)}; the embedded judge needs no labels at all",
        )


def _word(violation: bool) -> str:  # one of two
    return "a violation" if violation else "allowed"


def file_digest(path: Path) -> str:
    """Of a file's bytes, for the card."""
    return bytes_digest(path.read_bytes())
