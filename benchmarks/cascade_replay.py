"""Replays any cascade against a recorded reasoner: its screens judge, its last stage answers what was recorded.

Called by `python -m benchmarks.cascade FILE --cascade CASCADE`. CASCADE is what `magistrate cascade fit` wrote (a
folder or its cascade.json), or a folder of plans. A plan is replayed on the items of its own policy, which is found by
the digest of `policy_NAME.md` beside FILE. Votes in other wordings are answered by the completions under these; further
votes in the same words were not recorded and count as no verdict. A budget in the plan is kept over all items as one
batch.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import numpy as np
from numpy.typing import NDArray

from benchmarks.cascade import SCREEN, SCREENS, halves, read_items, recorded_policy
from benchmarks.cascade_scores import all_scores
from benchmarks.recorded import Replay, replay
from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.classifiers.cascade.file import read_plan
from magistrate.classifiers.cascade.plan import CascadePlan
from magistrate.config import find_config, read_config
from magistrate.digest import Digest, text_digest
from magistrate.evaluate.interval import bootstrap_interval
from magistrate.evaluate.metrics import confusion
from magistrate.policy.model import Policy
from magistrate.row import verdict_row
from magistrate.run.models import cascade_classifier
from magistrate.types import Code, Content, Course, Decided, Failed, Trace, Verdict

DRAWS = 1000

Bools = NDArray[np.bool_]


class Answers:
    """A classifier that says what is known beforehand, by policy and id of the case."""

    def __init__(self, name: str, known: Mapping[Digest | None, Mapping[str, Verdict]]) -> None:
        """Store the verdicts.

        Args:
            name: The model.
            known: By the digest of the policy; None holds under every policy.
        """
        self._name = name
        self._known = known

    @property
    def name(self) -> str:
        """The model."""
        return self._name

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """What is known of each."""
        return await self.judge_again(cases, (0,) * len(cases))

    async def judge_again(self, cases: Sequence[Case], turns: Sequence[int]) -> list[Verdict]:
        """Only the first turn is known."""
        return [self._answer(case, turn) for case, turn in zip(cases, turns, strict=True)]

    def _answer(self, case: Case, turn: int) -> Verdict:
        known = self._known.get(case.policy.digest) or self._known.get(None) or {}
        if turn == 0 and case.id in known:
            return known[case.id]
        return Failed(code=Code.NOT_RECORDED, detail=f"turn {turn}", trace=_trace(self._name, case.policy))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


def _trace(model: str, policy: Policy) -> Trace:
    return Trace(policy=policy.name, policy_digest=policy.digest, model=model, dialect="replay.v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a cascade did with the recorded items of its policy."""

    plan: str
    policy: str
    items: int
    violating: int
    raw_f1: float
    """Of the reasoner alone, over everything."""
    f1: float
    f1_bounds: tuple[float, float] | None
    recall: float
    lost: float
    """Share of the violating items that the screens cleared."""
    reasoned: float
    """Share of the items that the last stage was asked about."""
    calls: float
    """Of the last stage, an item: votes count."""
    undecided: int
    """Counted as no violation, as published figures do."""
    seconds: float

    def render(self) -> str:
        """Two lines."""
        bounds = f" [{self.f1_bounds[0]:.3f}, {self.f1_bounds[1]:.3f}]" if self.f1_bounds else ""
        return (
            f"{self.plan} on {self.policy}: {self.items} items, {self.violating} violating, raw F1 {self.raw_f1:.3f}\n"
            f"    F1 {self.f1:.3f}{bounds}, recall {self.recall:.3f}, lost at the screens {self.lost:.1%}, "
            f"reasoned over {self.reasoned:.1%}, {self.calls:.3f} calls an item, {self.undecided} undecided, "
            f"{self.seconds:.1f} s"
        )


def replay_cascades(file: Path, cascade: Path, data: Path, model: str) -> list[Outcome]:
    """Replay every plan that `cascade` names, and print what each did.

    Args:
        file: Recorded completions.
        cascade: A cascade, or a folder of cascades.
        data: Where the screens of `benchmarks.cascade --write` are trained from; other plans don't need it.
        model: Whose completions answer for the last stage.
    """
    replays = [one for one in replay(file) if one.name.startswith(f"{model}/")]
    if not replays:
        sys.exit(f"{file} has no completions of {model!r}: name another with --model")
    outcomes = [_replay(plan, file, replays, data, model) for plan in plan_files(cascade)]
    for outcome in outcomes:
        print(outcome.render(), flush=True)
    return outcomes


def plan_files(cascade: Path) -> list[Path]:
    """The plans that a path names: itself, its cascade.json, or those in it."""
    if cascade.is_file():
        return [cascade]
    own = cascade / "cascade.json"
    found = [own] if own.is_file() else sorted([*cascade.glob("*.json"), *cascade.glob("*/cascade.json")])
    if not found:
        sys.exit(f"no cascade at {cascade}: give what `magistrate cascade fit` wrote")
    return found


def _replay(file: Path, recorded: Path, replays: Sequence[Replay], data: Path, model: str) -> Outcome:
    plan = read_plan(file)
    policies = {one.name: recorded_policy(recorded, one.name.partition("/")[2]) for one in replays}
    by_digest: dict[Digest | None, Replay] = {policies[one.name].digest: one for one in replays}
    own = by_digest.get(plan.policy_digest)
    if own is None:
        known = "\n".join(f"  {digest} {one.name}" for digest, one in by_digest.items())
        sys.exit(f"{file} was fitted for the policy {plan.policy_digest}, and {recorded} has completions of\n{known}")
    texts = {item.id: item.text for item in read_items(recorded) if item.id in own.verdicts}
    said: dict[Digest | None, Mapping[str, Verdict]] = {digest: one.verdicts for digest, one in by_digest.items()}
    given: dict[str, Classifier] = {plan.last.name: Answers(model, said)}
    given |= _benchmark_screens(plan, texts, policies, data)
    cascade = cascade_classifier(file, read_config(find_config()), given=given)
    cases = [Case(policies[own.name], Content.of_text(text), item) for item, text in texts.items()]
    started = time.perf_counter()

    async def judge() -> list[Verdict]:
        async with cascade:
            return await cascade.judge_many(cases)

    verdicts = anyio.run(judge)
    truth = np.array([own.truth[case.id] for case in cases], np.bool_)
    return _outcome(plan, own, truth, verdicts, time.perf_counter() - started)


def _outcome(plan: CascadePlan, own: Replay, truth: Bools, verdicts: Sequence[Verdict], seconds: float) -> Outcome:
    flagged = np.array([isinstance(v, Decided) and v.violation for v in verdicts], np.bool_)
    last = [[s for s in v.trace.steps if s.stage == plan.last.name and s.course is not Course.DENIED] for v in verdicts]
    asked = np.array([bool(steps) for steps in last], np.bool_)
    calls = sum(
        1 if step.votes is None else step.votes.violation + step.votes.no_violation + step.votes.undecided
        for steps in last
        for step in steps
    )
    bounds = bootstrap_interval(lambda drawn: confusion(truth[drawn], flagged[drawn]).f1, truth.size, draws=DRAWS)
    counts = confusion(truth, flagged)
    return Outcome(
        plan=plan.name,
        policy=own.name,
        items=truth.size,
        violating=int(truth.sum()),
        raw_f1=own.raw.f1 or 0.0,
        f1=counts.f1 or 0.0,
        f1_bounds=None if bounds is None else (bounds.low, bounds.high),
        recall=counts.recall or 0.0,
        lost=float(np.mean((~asked & ~flagged)[truth])) if truth.any() else 0.0,
        reasoned=float(np.mean(asked)),
        calls=calls / truth.size,
        undecided=sum(not isinstance(v, Decided) for v in verdicts),
        seconds=seconds,
    )


def _benchmark_screens(
    plan: CascadePlan, texts: Mapping[str, str], policies: Mapping[str, Policy], data: Path
) -> dict[str, Classifier]:
    """The screens that only these benchmarks know, as `--write` names them; none for other plans."""
    wanted = [stage.name for stage in plan.stages if stage.model == stage.name and stage.name in (*SCREENS, SCREEN)]
    if not wanted:
        return {}
    own = {name.partition("/")[2]: policy for name, policy in policies.items()}
    logits = all_scores(list(texts.values()), own, data)
    columns: dict[str, list[float]] = dict(zip(SCREENS, (1 / (1 + np.exp(-logits))).T.tolist(), strict=True))
    columns[SCREEN] = [0.5] * len(texts)  # its calibrator reads the others
    policy = next(iter(policies.values()))
    return {
        name: Answers(name, {None: {i: _scored(name, p, policy) for i, p in zip(texts, columns[name], strict=True)}})
        for name in wanted
    }


def _scored(name: str, probability: float, policy: Policy) -> Decided:
    return Decided(
        violation=probability >= 0.5,
        label="",
        rule_ids=(),
        severity=None,
        probability=probability,
        rationale="",
        trace=_trace(name, policy),
    )


def halve(file: Path, folder: Path, model: str, *, seed: int = 0) -> None:
    """Write a half of the texts as labelled cases with their verdicts, and the other half in the recorded form.

    Args:
        file: Recorded completions.
        folder: Gets labelled.jsonl, verdicts.jsonl, other.jsonl and the policies.
        model: Whose verdicts are written.
        seed: Of the halves.
    """
    replays = [one for one in replay(file) if one.name.startswith(f"{model}/")]
    raw = file.read_bytes()
    lines = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8").splitlines()
    items = read_items(file)
    truth = np.array([item.label == 1 for item in items], np.bool_)
    groups = np.unique([text_digest(item.text) for item in items], return_inverse=True)[1].astype(np.int64)
    inside, outside = halves(truth, groups, seed)
    own = [items[n] for n in inside.tolist()]
    folder.mkdir(parents=True, exist_ok=True)
    labelled = [json.dumps({"id": item.id, "text": item.text, "violation": item.label == 1}) for item in own]
    verdicts = [
        verdict_row(item.id, one.verdicts[item.id]).to_json()
        for one in replays
        for item in own
        if item.id in one.verdicts
    ]
    for name, rows in (
        ("labelled.jsonl", labelled),
        ("verdicts.jsonl", verdicts),
        ("other.jsonl", [lines[n] for n in outside.tolist()]),
    ):
        (folder / name).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    for one in replays:
        policy = file.parent / f"policy_{one.name.partition('/')[2]}.md"
        if policy.is_file():
            shutil.copy(policy, folder)
    print(f"wrote {len(own)} labelled cases and {len(outside)} items to replay to {folder}")
