"""Does the policy steer the embedded judge? Probes over the evaluation sets whose policies were not trained on.

    python -m benchmarks.steering ../shared/data [--max-cases 40]

Inverted policies, off-topic content and policies, and removed rules, as `magistrate probe` makes them, over every
set in English; shares with an interval over cases.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Hashable, Iterator
from pathlib import Path

from benchmarks.leaderboard import last_turn
from magistrate import Judge, Policy
from magistrate.evaluate.corpus import Bundle, load_bundle, open_corpus
from magistrate.evaluate.dataset import MayTrain
from magistrate.evaluate.probe import Outcome, ProbeReport, probe
from magistrate.evaluate.probe_cases import Expected, Kind, Plan, make_probes
from magistrate.evaluate.share import Share, share

KINDS = (Kind.INVERTED, Kind.OFF_TOPIC, Kind.REMOVAL, Kind.CARVE_OUT, Kind.WORDING, Kind.OBFUSCATED, Kind.INJECTED)
BARS = {
    (Kind.INVERTED, None): "at least .85",
    (Kind.OFF_TOPIC, None): "at least .95 not flagged",
    (Kind.REMOVAL, "elsewhere"): "at least .97 unchanged",
}


def unseen(folder: Path) -> list[Bundle]:
    """Sets in English under policies that were not trained on."""
    return [
        bundle
        for bundle in open_corpus(folder).bundles.values()
        if bundle.policy is not None
        and "eval" in bundle.files
        and bundle.may_train is not MayTrain.YES
        and set(bundle.languages) <= {"en", "und"}
    ]


async def reports(bundles: list[Bundle], judge: Judge, *, max_cases: int) -> list[ProbeReport]:
    """Probe every policy with cases of its set."""
    found: list[ProbeReport] = []
    async with judge:
        for bundle in bundles:
            assert bundle.policy is not None
            policy = Policy.read(bundle.policy, name=bundle.name)
            golden = tuple(last_turn(case) for case in load_bundle(bundle).cases)
            probes, skipped = make_probes(Plan(policy=policy, golden=golden, seed=0, max_cases=max_cases), KINDS)
            report = await probe(policy, judge.classifier, probes, skipped)
            found.append(report)
            inverted = report.total(Kind.INVERTED)
            shown = "-" if inverted is None or inverted.share.value is None else f"{inverted.share.value:.2f}"
            print(f"  {bundle.name}: {report.calls} judgements, inverted {shown}", flush=True)
    return found


def shares(found: list[ProbeReport]) -> Iterator[tuple[Kind, str | None, Share, int]]:
    """Over all policies: by kind, and by its parts."""
    for kind in KINDS:
        findings = [(r.policy, f) for r in found for f in r.findings if f.probe.kind is kind]
        parts: list[str | None] = [None, *dict.fromkeys(f.probe.variant for _, f in findings)]
        for part in parts:
            own = [(p, f) for p, f in findings if part is None or f.probe.variant == part]
            if part is None:
                own = [(p, f) for p, f in own if f.probe.expected is not Expected.OPEN]
            told = [(p, f) for p, f in own if f.outcome in (Outcome.HELD, Outcome.BROKEN)]
            trials: list[tuple[Hashable, bool]] = [((p, f.probe.source), f.outcome is Outcome.HELD) for p, f in told]
            undecided = sum(f.outcome is Outcome.UNDECIDED for _, f in own)
            if trials:
                yield kind, part, share(trials), undecided


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Whether policies steer the embedded judge")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-cases", type=int, default=40)
    parser.add_argument("--model")
    options = parser.parse_args()
    bundles = unseen(options.folder)
    found = asyncio.run(reports(bundles, Judge(options.model), max_cases=options.max_cases))
    print(f"\n{len(found)} policies, {sum(r.calls for r in found)} judgements\n")
    print("| probe | as expected (95 %) | n | undecided | bar |\n|---|---|---|---|---|")
    for kind, part, one, undecided in shares(found):
        rate = "-" if one.value is None else f"{one.value:.3f}"
        interval = f" ({one.interval.low:.3f} to {one.interval.high:.3f})" if one.interval else ""
        name = kind.value if part is None else f"{kind.value}, {part}"
        print(f"| {name} | {rate}{interval} | {one.trials} | {undecided} | {BARS.get((kind, part), '')} |")


if __name__ == "__main__":
    main()
