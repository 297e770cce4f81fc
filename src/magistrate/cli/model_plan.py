"""`magistrate model plan`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import JsonValue

from magistrate.cli.options import read_policies
from magistrate.errors import UsageError

if TYPE_CHECKING:
    from magistrate.models.hardware import Gpu
    from magistrate.models.plan.replica import Replica
    from magistrate.models.plan.share import Share
    from magistrate.models.plan.size import Demand, Sized
    from magistrate.models.profile import Profile

FRAME_TOKENS = 300
"""Of the instructions and the fence that a dialect adds around policy and content."""
HOSTED_INPUT, HOSTED_CACHED, HOSTED_OUTPUT = 0.075, 0.0375, 0.30
"""Dollars a million tokens of gpt-oss-safeguard-20b at hosted services, November 2025: models.dev, pull request 413."""
DAY_S = 86_400
PER_SECOND = {"": 1.0, "/s": 1.0, "/m": 1 / 60, "/min": 1 / 60, "/h": 1 / 3600, "/d": 1 / DAY_S, "/day": 1 / DAY_S}


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table: a demand and what it takes."""

    name: str
    demand: Demand
    sized: Sized


class RateType(click.ParamType[float]):
    """`2000/s`, `50000/h`, `3e6/day`: items, turned into items a second."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, or say what is allowed."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"\s*([\d.,_]+(?:e\d+)?)\s*(/\w+)?\s*", str(value), re.IGNORECASE)
        unit = (found[2] or "").casefold() if found else ""
        try:
            rate = float(found[1].replace(",", "").replace("_", "")) * PER_SECOND[unit] if found else 0.0
        except (ValueError, KeyError):
            rate = 0.0
        if not 0 < rate < 1e9:
            self.fail(f"{str(value)[:40]!r} is no rate; write items and a time: 2000/s, 50000/h, 3e6/day", param, ctx)
        return rate


@click.command("plan")
@click.option("--rate", required=True, type=RateType(), help="Items that come in: 2000/s, 50000/h, 3e6/day.")
@click.option("-p", "--policy", "policy_name", required=True, metavar="FILE|NAME", help="The policy to judge by.")
@click.option("-m", "--model", "model_name", default="20b", show_default=True, help="See magistrate model list.")
@click.option("--cascade", "cascade", type=click.Path(path_type=Path), help="A fitted cascade: its share is taken.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), help="Of the items that are reasoned over.")
@click.option("--content-tokens", type=click.IntRange(min=1), default=100, show_default=True, help="Of a usual item.")
@click.option("--gpu", default="H100", show_default=True, metavar="NAME", help="What the replicas run on.")
@click.option("--p99", "p99_s", type=click.FloatRange(0, min_open=True), help="Seconds that 1 in 100 may take.")
@click.option("--burst", type=click.FloatRange(1, 6), default=1.0, help="Times the mean rate, 10 s of every minute.")
@click.option("--price", type=click.FloatRange(0, min_open=True), help="Of a GPU hour, in any currency.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the simulated traffic.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    rate: float,
    policy_name: str,
    model_name: str,
    cascade: Path | None,
    share: float | None,
    content_tokens: int,
    gpu: str,
    p99_s: float | None,
    burst: float,
    price: float | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Plan how many replicas of a reasoner a platform takes, on paper.

    \b
    magistrate model plan --rate 2000/s --policy spam --share 0.16
    magistrate model plan --rate 3e6/day --policy p.md --cascade spam.cascade --gpu A100 --price 1.8

    A queue is simulated, request by request; every assumption is printed. Nothing is measured on your hardware.
    """
    from magistrate.models.plan.replica import replica_of
    from magistrate.models.plan.size import Demand
    from magistrate.models.registry import profile_named
    from magistrate.policy.tokens import count_tokens

    profile = profile_named(model_name)
    (policy,) = read_policies([policy_name])
    policy_tokens = count_tokens(policy.text)
    reasoned = _share(cascade, share)
    demand = Demand(
        rate=rate,
        share=reasoned.value,
        policy_tokens=policy_tokens.tokens + FRAME_TOKENS,
        content_tokens=content_tokens,
        answer_times=1.0 if profile.efforts else 0.0,
        burst=burst,
    )
    replica = replica_of(profile, _gpu(gpu), context_tokens=_context(demand))
    cases = _cases(replica, demand, p99_s, seed)
    if as_json:
        click.echo(json.dumps(_json(profile, replica, demand, reasoned, cases, price), ensure_ascii=False))
        return
    _show(profile, replica, reasoned, cases, p99_s, price)
    _show_assumptions(profile, replica, demand, str(policy_tokens))


def _share(cascade: Path | None, share: float | None) -> Share:
    from magistrate.classifiers.cascade.file import cascade_file, read_plan
    from magistrate.models.plan.share import Share, share_of

    if share is not None:
        return Share(share, "--share")
    if cascade is None:
        return Share(1.0, "neither --cascade nor --share: everything")
    file = cascade_file(cascade)
    if file is None:
        raise UsageError(f"no cascade at {str(cascade)!r}", hint="give the folder that magistrate cascade fit wrote")
    return share_of(read_plan(file))


def _gpu(name: str) -> Gpu:
    from magistrate.models.hardware import parse_gpu_argument

    gpus = parse_gpu_argument(name)
    if len(gpus) != 1:
        raise UsageError(f"--gpu names one kind, got {name!r}", hint="how many are needed is what is worked out here")
    return gpus[0]


def _context(demand: Demand) -> int:
    """Tokens of a usual request and its answer, whose cache a slot takes."""
    from magistrate.models.plan.answers import mean_tokens

    return demand.policy_tokens + demand.content_tokens + round(mean_tokens(times=demand.answer_times))


def _cases(replica: Replica, demand: Demand, p99_s: float | None, seed: int) -> list[Case]:
    """The demand itself, and what would change it most."""
    from magistrate.models.plan.size import longer, size, with_replicas

    base = size(replica, demand, p99_s=p99_s, seed=seed)
    cases = [Case("as asked", demand, base)]
    doubled = longer(demand, 2.0)
    if p99_s is None and doubled != demand:
        cases.append(Case("reasoning twice as long", doubled, size(replica, doubled, p99_s=None, seed=seed)))
    if p99_s is None:
        uncached = replace(demand, prefix_reuse=False)
        cases.append(Case("no reuse of the policy's part", uncached, size(replica, uncached, p99_s=None, seed=seed)))
    if demand.burst == 1:
        bursts = replace(demand, burst=3.0)
        cases.append(Case("3 x the rate in bursts", bursts, with_replicas(replica, bursts, base.replicas, seed=seed)))
    return cases


def _show(
    profile: Profile,
    replica: Replica,
    reasoned: Share,
    cases: list[Case],
    p99_s: float | None,
    price: float | None,
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    demand = cases[0].demand
    console.print(
        Text(
            f"{profile.name} with vLLM, {replica.gpus} x {replica.gpu} a replica\n"
            f"{demand.rate:,.4g} items/s, {demand.share:.1%} reasoned over ({reasoned.source}): "
            f"{demand.reasoned_rate:,.4g}/s\n"
        )
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    names = ("replicas", "GPUs", "p50", "p90", "p99", "busy", *(() if price is None else ("cost a day",)))
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for case in cases:
        sized = case.sized
        cells = [
            case.name,
            f"{sized.replicas:,}",
            f"{sized.replicas * replica.gpus:,}",
            *(f"{seconds:,.2f} s" for seconds in (sized.p50_s, sized.p90_s, sized.p99_s)),
            f"{sized.busy:.0%}",
        ]
        table.add_row(*cells, *(() if price is None else (f"{_cost(replica, sized, price):,.0f}",)))
    console.print(table)
    asked = "a queue that stays short" if p99_s is None else f"a p99 of {p99_s:g} s"
    hosted = _hosted_cost(demand)
    console.print(
        Text(
            f"\nThe least number for {asked}. Items that screens decide do not wait. The same through a hosted service "
            f"of gpt-oss-safeguard-20b: about ${hosted:,.0f} a day at its list price."
        )
    )


def _cost(replica: Replica, sized: Sized, price: float) -> float:
    return sized.replicas * replica.gpus * 24 * price


def _hosted_cost(demand: Demand) -> float:
    from magistrate.models.plan.answers import mean_tokens

    per_request = (
        demand.policy_tokens * HOSTED_CACHED
        + demand.content_tokens * HOSTED_INPUT
        + mean_tokens(times=demand.answer_times) * HOSTED_OUTPUT
    )
    return demand.reasoned_rate * DAY_S * per_request / 1e6


def _show_assumptions(profile: Profile, replica: Replica, demand: Demand, policy_tokens: str) -> None:
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False)
    console.print("\nAssumed:")
    for line in _assumptions(profile, replica, demand, policy_tokens):
        console.print(Padding(f"- {line}", (0, 0, 0, 2)), markup=False)


def _assumptions(profile: Profile, replica: Replica, demand: Demand, policy_tokens: str) -> list[str]:
    from magistrate.models.plan.size import MOST_BUSY
    from magistrate.models.speed import DECODE_SHARE, PREFILL_SHARE

    bursts = f", {demand.burst:g} x the mean in bursts" if demand.burst > 1 else ""
    return [
        f"prompt: policy {policy_tokens} tokens and about {FRAME_TOKENS} around it, read once and then remembered; "
        f"content {demand.content_tokens:,}",
        _answer_words(profile, demand),
        f"a token alone takes {1000 * replica.step_s[1]:.1f} ms; up to {replica.slots} answers are written at once, "
        f"{replica.tokens_per_second:,.0f} tokens/s: {DECODE_SHARE:.0%} of the bandwidth, {PREFILL_SHARE:.0%} of the "
        "operations (docs/capacity.md says by which formula, and how near it is to published figures)",
        f"arrivals at random (Poisson){bursts}; at most {MOST_BUSY:.0%} of what a replica can write is planned for; "
        "each request goes to the idlest replica",
        "no failures, no restarts, no network; screens run elsewhere and are not counted",
    ]


def _answer_words(profile: Profile, demand: Demand) -> str:
    from magistrate.models.plan.answers import FINAL_TOKENS, TOKENS, WORD_TOKENS, mean_tokens

    if demand.answer_times == 0:
        return f"answer: one word and its end, {WORD_TOKENS:.0f} tokens; {profile.name} does not reason"
    same = profile.name == "gpt-oss-safeguard-20b"
    return (
        f"answer: reasoning of {TOKENS[1]:.0f} tokens (median), {TOKENS[2]:,.0f} (p95), {TOKENS[3]:,.0f} (p99), as in "
        "1,539 public calls of gpt-oss-safeguard-20b at default effort (raxITlabs, November 2025), and "
        f"{FINAL_TOKENS:.0f} of answer, {mean_tokens():.0f} on average; that "
        f"{'your policy' if same else profile.name + ', under your policy,'} makes for as long is an assumption: the "
        "reports of magistrate test tell your own tokens"
    )


def _json(
    profile: Profile,
    replica: Replica,
    demand: Demand,
    reasoned: Share,
    cases: list[Case],
    price: float | None,
) -> JsonValue:
    return {
        "model": profile.name,
        "gpu": replica.gpu,
        "gpus_per_replica": replica.gpus,
        "slots": replica.slots,
        "tokens_per_second_per_replica": replica.tokens_per_second,
        "rate_per_s": demand.rate,
        "share": demand.share,
        "share_source": reasoned.source,
        "reasoned_per_s": demand.reasoned_rate,
        "hosted_dollars_per_day": _hosted_cost(demand),
        "cases": [
            {
                "case": case.name,
                "replicas": case.sized.replicas,
                "gpus": case.sized.replicas * replica.gpus,
                "p50_s": case.sized.p50_s,
                "p90_s": case.sized.p90_s,
                "p99_s": case.sized.p99_s,
                "busy": case.sized.busy,
                "simulated_requests": case.sized.requests,
                "cost_per_day": None if price is None else _cost(replica, case.sized, price),
            }
            for case in cases
        ],
        "assumptions": list(_assumptions(profile, replica, demand, f"{demand.policy_tokens - FRAME_TOKENS:,}")),
    }
