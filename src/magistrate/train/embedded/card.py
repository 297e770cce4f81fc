"""The model card: what a model was made from, how it scored, what it can't do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from magistrate.encoders.model_folder import CARD, GRAPH, HEAD, SETTINGS, TOKENIZER
from magistrate.train.embedded.calibrate import BASE_RATE, Calibration
from magistrate.train.embedded.families import Family
from magistrate.train.embedded.held_out import HeldOutScore


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the card says."""

    name: str
    start: str
    command: str
    made: date
    steps: str
    identity: str
    families: Sequence[Family]
    licences: Sequence[tuple[str, str, str]]
    """(data set, licence, source)"""
    before: Sequence[HeldOutScore]
    after: Sequence[HeldOutScore]
    calibration: Calibration


_CARD = """# {name}

An encoder (MiniLM-L6, 22M parameters, int8) and a head that score each rule and each example of a policy against a
content. Trained on {policies} policies and {cases} contents, in steps that show the same content under several
policies, inverted ones, ones without a rule and ones with a rule on the other side; and the content as it is, among
unrelated sentences, joined with another, in disguise, or with an order to the judge in it. The weights are a moving
average over the steps. Apache-2.0, as its start.

| | |
|---|---|
| started from | {start} |
| made | {made}, by `{command}` |
| steps | {steps} |
| identity of the data and the order of steps | {identity} |
| probability | logistic({slope} * log-odds {offset:+}), for data of which {base_rate:.0%} violates |
| unsure | within {within} of one half |

| file | sha256 |
|---|---|
{files}

## Held-out policies

Train splits of data sets that may not be trained on, and the English golden cases of the starter policies. No policy
here was trained on; the settings of the run were chosen by looking at these, so read the leaderboard for figures that
nothing was chosen by.

| set | AUC before | AUC | average precision before | average precision |
|---|---|---|---|---|
{scores}

## Data

| data set | licence | source |
|---|---|---|
{licences}

## Limits

- Each rule is scored by itself: precedence between rules, and conditions spread over several rules, are not read.
- Trained mostly on English; other languages are mostly missed. Reads 254 tokens at once.
- Probabilities are calibrated over policies, not for one policy: where fewer than {base_rate:.0%} violate, they are
  too high.
- Labels of the public sets are noisy, and those of the families written for this project are of one writer each.
- A screen and a first opinion, not a substitute for a reasoner or a person.
"""


def write_card(folder: Path, facts: CardFacts) -> None:
    """Write the card beside the files that it names."""
    names = [name for name in (GRAPH, HEAD, TOKENIZER, SETTINGS) if (folder / name).is_file()]
    before = {one.name: one for one in facts.before}
    card = _CARD.format(
        name=facts.name,
        policies=sum(len(f.policies) for f in facts.families),
        cases=sum(len(f.cases) for f in facts.families),
        start=facts.start,
        made=facts.made.isoformat(),
        command=facts.command,
        steps=facts.steps,
        identity=facts.identity.replace("|", "\\|"),
        slope=facts.calibration.slope,
        offset=facts.calibration.offset,
        within=facts.calibration.abstain_within,
        base_rate=BASE_RATE,
        files="\n".join(f"| `{name}` | `{_sha256(folder / name)}` |" for name in names),
        scores="\n".join(_score_row(before.get(one.name), one) for one in [*facts.after, _mean(facts.after)]),
        licences="\n".join(f"| {name} | {licence} | {source} |" for name, licence, source in facts.licences),
    )
    (folder / CARD).write_text(card, encoding="utf-8")


def _score_row(before: HeldOutScore | None, after: HeldOutScore) -> str:
    def said(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    old = (before.auc, before.average_precision) if before else (None, None)
    cells = [said(old[0]), said(after.auc), said(old[1]), said(after.average_precision)]
    return f"| {after.name} | {' | '.join(cells)} |"


def _mean(scores: Sequence[HeldOutScore]) -> HeldOutScore:
    count = len(scores) or 1
    return HeldOutScore("mean", sum(s.auc for s in scores) / count, sum(s.average_precision for s in scores) / count)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
