"""Judge the evaluation part of every data set of a folder under its own policy, and write a table of the figures.

    python -m benchmarks.leaderboard DATA_FOLDER [--out docs/leaderboard.md]
    python -m benchmarks.leaderboard --policy mine.md --cases labelled.jsonl

The second prints the row of any labelled file under any policy. Of a chat the last turn is judged, after the turns
before it.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import magistrate
from benchmarks import bars
from magistrate import Case, Content, Decided, Failed, Judge, Policy, Target, Verdict
from magistrate.evaluate.corpus import Bundle, load_bundle, open_corpus
from magistrate.evaluate.dataset import Dataset, MayTrain
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.judged import Judged
from magistrate.evaluate.measure import Estimate, Measures, measure
from magistrate.evaluate.metrics import Metric

CHUNK = 512
COLUMNS = (Metric.AUC, Metric.AVERAGE_PRECISION, Metric.F1, Metric.PRECISION, Metric.RECALL, Metric.FALSE_POSITIVE_RATE)

HEADER = "\n".join(
    [
        "| data set | cases (violating) | " + " | ".join(COLUMNS) + " | not decided | digests |",
        "|---" * (len(COLUMNS) + 4) + "|",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What came of one data set."""

    bundle: Bundle
    dataset: Dataset
    policy: Policy
    judged: Judged
    measures: Measures

    def scored(self) -> bars.Scored:
        """Cases with a probability."""
        known = ~np.isnan(self.judged.probability)
        return bars.Scored(self.bundle.name, self.judged.truth[known], self.judged.probability[known])


def last_turn(case: GoldenCase) -> GoldenCase:
    """Of a chat, judge the last turn where a user or an assistant speaks it."""
    messages = case.content.messages
    role = messages[-1].role.value
    if case.content.target is Target.TEXT or role not in (Target.USER.value, Target.ASSISTANT.value):
        return case
    return replace(case, content=Content.of_chat(messages, Target(role)))


def arrays(golden: Sequence[GoldenCase], verdicts: Sequence[Verdict]) -> Judged:
    """Verdicts beside their truth."""
    probabilities = [None if isinstance(v, Failed) else v.probability for v in verdicts]
    return Judged(
        truth=np.array([case.violation for case in golden], dtype=np.bool_),
        flagged=np.array([isinstance(v, Decided) and v.violation for v in verdicts], dtype=np.bool_),
        decided=np.array([isinstance(v, Decided) for v in verdicts], dtype=np.bool_),
        probability=np.array([np.nan if p is None else p for p in probabilities], dtype=np.float64),
    )


async def lines(bundles: Sequence[Bundle], judge: Judge) -> list[Line]:
    """Judge each data set that has a policy and an evaluation part."""
    found: list[Line] = []
    async with judge:
        for bundle in bundles:
            if bundle.policy is None or "eval" not in bundle.files:
                continue
            dataset, policy = load_bundle(bundle), Policy.read(bundle.policy)
            golden = [last_turn(case) for case in dataset.cases]
            verdicts: list[Verdict] = []
            for start in range(0, len(golden), CHUNK):
                part = golden[start : start + CHUNK]
                verdicts += await judge.ajudge_cases([Case(policy, case.content, case.id) for case in part])
            judged = arrays(golden, verdicts)
            line = Line(bundle=bundle, dataset=dataset, policy=policy, judged=judged, measures=measure(judged))
            print(row(line), flush=True)
            found.append(line)
    return found


def row(line: Line) -> str:
    """One line of the table."""
    by_metric = {estimate.metric: estimate for estimate in line.measures.estimates if not estimate.label}
    cases, positives = line.measures.cases, sum(case.violation for case in line.dataset.cases)
    digests = f"{short(line.dataset.identity.digest)} {short(line.policy.digest)}"
    figures = " | ".join(cell(by_metric[metric]) for metric in COLUMNS)
    return f"| {line.bundle.name} | {cases} ({positives}) | {figures} | {line.measures.undecided} | {digests} |"


def cell(estimate: Estimate) -> str:
    """A figure with its interval; a dash where the cases do not define it."""
    if estimate.value is None:
        return "-"
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.interval.low:.3f} to {estimate.interval.high:.3f})"


def short(digest: str) -> str:
    """The first eight digits of a digest."""
    return digest.removeprefix("sha256:")[:8]


def mean(found: Sequence[Line], metric: Metric) -> str:
    """The mean of a figure over data sets that define it."""
    values = [e.value for line in found for e in line.measures.estimates if e.metric is metric and e.value is not None]
    return f"{np.mean(values):.3f} over {len(values)}" if values else "-"


def page(found: Sequence[Line], model: str, folder: Path) -> Iterator[str]:
    """The page, line by line."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    yield "# Leaderboard\n"
    yield f"Judge: `{model}`, magistrate {magistrate.__version__}, {today}. Made by `make leaderboard DATA=FOLDER`;"
    yield "nothing in it is typed by hand. Figures are over decided cases at the default threshold, AUC and average"
    yield "precision over all cases with a probability, each with its 95 % interval. The violating shares are those of"
    yield "the data sets, not of any platform. Digests are of the cases and of the policy.\n"
    yield "## What the judge is held to\n"
    yield "Over sets in English whose policy was not trained on (`benchmarks/bars.py`); every case counts, abstentions"
    yield "by their probability. Five of the sets share their policy with a train split that training was watched by.\n"
    yield bars.table(bars.unseen_english([line.scored() for line in found], folder)) + "\n"
    parts = {
        "Policies that were not trained on": [x for x in found if x.bundle.may_train is not MayTrain.YES],
        "Policies that were trained on, with other cases": [x for x in found if x.bundle.may_train is MayTrain.YES],
    }
    for title, part in parts.items():
        yield f"## {title}\n"
        yield f"Mean AUC {mean(part, Metric.AUC)} data sets,"
        yield f"mean average precision {mean(part, Metric.AVERAGE_PRECISION)},"
        yield f"mean F1 {mean(part, Metric.F1)}, mean false-positive rate {mean(part, Metric.FALSE_POSITIVE_RATE)}.\n"
        yield HEADER
        yield from (row(line) for line in part)
        yield ""


def single(policy: Path, cases: Path) -> Bundle:
    """A labelled file of one's own as a data set."""
    return Bundle(name=cases.stem, policy=policy, files={"eval": cases})


def main() -> None:
    """Judge and write."""
    parser = argparse.ArgumentParser(description="Leaderboard over a folder of data sets, or one labelled file")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--policy", type=Path, help="a policy file of your own")
    parser.add_argument("--cases", type=Path, help="labelled cases for it, in any form of docs/data.md")
    parser.add_argument("--out", type=Path, default=Path("docs/leaderboard.md"))
    parser.add_argument("--scores", type=Path, default=Path("build/leaderboard.npz"), help="where verdicts are kept")
    parser.add_argument("--model")
    options = parser.parse_args()
    if (options.folder is None) == (options.policy is None) or (options.policy is None) != (options.cases is None):
        parser.error("give a folder, or --policy and --cases")
    judge = Judge(options.model)
    if options.policy is not None:
        print(HEADER)
        asyncio.run(lines([single(options.policy, options.cases)], judge))
        return
    found = asyncio.run(lines(list(open_corpus(options.folder).bundles.values()), judge))
    bars.save(options.scores, [line.scored() for line in found])
    names = {f"{v.trace.model} with {v.trace.dialect}" for v in asyncio.run(one_verdict(options.model))}
    options.out.write_text("\n".join(page(found, ", ".join(names), options.folder)), encoding="utf-8")


async def one_verdict(model: str | None) -> list[Verdict]:
    """Ask for one verdict, which names its judge."""
    policy = Policy.parse("Advertising is prohibited.", name="name")
    async with Judge(model) as judge:
        return list(await judge.ajudge_cases([Case(policy, Content.of_text("buy this"))]))


if __name__ == "__main__":
    main()
