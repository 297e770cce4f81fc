"""How many replicas a rate takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from magistrate.errors import UsageError
from magistrate.models.plan.answers import answer_tokens, mean_tokens
from magistrate.models.plan.replica import Replica
from magistrate.models.plan.simulate import Outcome, Traffic, simulate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REQUESTS = 20_000
"""Simulated at the least: a p99 then rests on 180 requests beyond it."""
SHORTEST_S, TURNS = 60.0, 10.0
"""Simulated at the least, in seconds and in times of a usual answer, where that is no more than `MOST_REQUESTS`."""
MOST_REQUESTS = 80_000
MOST_REPLICAS = 100_000
MOST_BUSY = 0.85
"""Of what a replica writes at the most. An assumption: beyond it small bursts are felt for long."""
FINE = 50
"""Large numbers are found to within a part in so many."""
BURST_S = 10.0
"""A burst lasts this long, once in every `BURST_EVERY_S` seconds."""
BURST_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked of the reasoner."""

    rate: float
    """Items a second that come in, before any screen."""
    share: float
    """Of them that are reasoned over, in (0, 1]."""
    policy_tokens: int
    """Read once and remembered, unless `prefix_reuse` is off."""
    content_tokens: int
    answer_times: float = 1.0
    """How much longer the reasoning is than in the published calls."""
    burst: float = 1.0
    """How many times the mean rate comes in during bursts; 1 for none."""
    prefix_reuse: bool = True

    @property
    def reasoned_rate(self) -> float:
        """Requests a second to the reasoner."""
        return self.rate * self.share

    @property
    def prompt_tokens(self) -> int:
        """Read anew for each request."""
        return self.content_tokens + (0 if self.prefix_reuse else self.policy_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A number of replicas, and how long requests take with it. Seconds, from arrival to the last token."""

    replicas: int
    p50_s: float
    p90_s: float
    p99_s: float
    waited_p99_s: float
    busy: float
    """Share of the slots in use, on average."""
    requests: int
    """That were simulated and counted."""


def size(replica: Replica, demand: Demand, *, p99_s: float | None, seed: int = 0) -> Sized:
    """The least number of replicas that keeps up, and keeps the p99 where one is asked for.

    Args:
        replica: What one replica does.
        demand: What comes in.
        p99_s: The longest that one request in a hundred may take; None asks only for a queue that is steady.
        seed: Of the simulated traffic, which is the same for every number that is tried.

    Raises:
        UsageError: no number of replicas keeps that p99, or it takes more than `MOST_REPLICAS`.
    """
    traffic = draw(replica, demand, seed)
    if p99_s is not None:
        _check_reachable(replica, demand, traffic, p99_s)

    def tried(replicas: int) -> Sized | None:
        found = measured(simulate(replica, replicas, traffic), replicas)
        return found if _steady(found) and (p99_s is None or found.p99_s <= p99_s) else None

    return _least(tried, at_least=_least_for_work(replica, demand))


def with_replicas(replica: Replica, demand: Demand, replicas: int, *, seed: int = 0) -> Sized:
    """How long requests take with a given number."""
    return measured(simulate(replica, replicas, draw(replica, demand, seed)), replicas)


def draw(replica: Replica, demand: Demand, seed: int) -> Traffic:
    """Poisson arrivals, in bursts where asked for, with answers of the published lengths.

    For as long as several answers take on a full replica, in turn: a queue shows what it does only after a while.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    service_s = mean_tokens(times=demand.answer_times) * replica.step_s[replica.slots]
    seconds = max(SHORTEST_S, TURNS * service_s)
    wanted = max(REQUESTS, min(MOST_REQUESTS, math.ceil(seconds * demand.reasoned_rate)))
    times = np.cumsum(generator.exponential(1 / demand.reasoned_rate, wanted))
    return Traffic(
        arrivals=_in_bursts(times, demand.burst),
        tokens=answer_tokens(generator.random(wanted), times=demand.answer_times),
        prompt_tokens=np.full(wanted, float(demand.prompt_tokens)),
    )


def measured(outcome: Outcome, replicas: int) -> Sized:
    """The figures of a simulation."""
    import numpy as np

    p50, p90, p99 = (float(value) for value in np.quantile(outcome.took, [0.5, 0.9, 0.99]))
    return Sized(
        replicas=replicas,
        p50_s=p50,
        p90_s=p90,
        p99_s=p99,
        waited_p99_s=float(np.quantile(outcome.waited, 0.99)),
        busy=outcome.busy,
        requests=outcome.took.size,
    )


def _in_bursts(times: NDArray[np.float64], burst: float) -> NDArray[np.float64]:
    """Squeeze even arrivals so that `burst` times the mean rate falls into the bursts; the mean stays.

    In each minute the expected number of arrivals up to a moment is a line with one kink; its inverse moves them.
    """
    import numpy as np

    if burst == 1:
        return times
    inside = burst * BURST_S  # of each minute's arrivals, in seconds of the mean rate
    minutes, within = np.divmod(times, BURST_EVERY_S)
    moved = np.interp(within, [0.0, inside, BURST_EVERY_S], [0.0, BURST_S, BURST_EVERY_S])
    return np.asarray(minutes * BURST_EVERY_S + moved, np.float64)


def _check_reachable(replica: Replica, demand: Demand, traffic: Traffic, p99_s: float) -> None:
    """A request that is alone takes its own time; no number of replicas makes it shorter."""
    import numpy as np

    alone = traffic.tokens * replica.step_s[1] + demand.prompt_tokens * replica.read_s
    least = float(np.quantile(alone, 0.99))
    if least > p99_s:
        raise UsageError(
            f"a p99 of {p99_s:,.2f} s cannot be kept on {replica.gpus} x {replica.gpu}: one answer in a hundred takes "
            f"{least:,.2f} s even where nothing else is under way",
            hint="lower the effort (shorter reasoning), name a faster GPU, or judge these items later",
        )


def _least_for_work(replica: Replica, demand: Demand) -> int:
    """Replicas that the work takes at the least, with some room: a queue that uses all of it never gets shorter."""
    per_request = mean_tokens(times=demand.answer_times) / replica.tokens_per_second
    work = demand.reasoned_rate * (per_request + demand.prompt_tokens * replica.read_s)
    return max(1, math.ceil(work / MOST_BUSY))


def _least(tried: Callable[[int], Sized | None], *, at_least: int) -> Sized:
    """The least number that will do, by doubling and halving: more replicas are never slower."""
    too_few, enough = at_least - 1, at_least
    found = tried(enough)
    while found is None:
        too_few, enough = enough, 2 * enough
        if enough > MOST_REPLICAS:
            raise UsageError(
                f"more than {MOST_REPLICAS:,} replicas would be needed",
                hint="reason over a smaller share (--share), ask for a longer p99, or name a faster GPU",
            )
        found = tried(enough)
    while enough - too_few > max(1, enough // FINE):
        middle = (too_few + enough) // 2
        better = tried(middle)
        if better is None:
            too_few = middle
        else:
            found, enough = better, middle
    return found


def _steady(found: Sized) -> bool:
    """Whether requests wait less than they are served: a queue that grows all the while waits for ever longer."""
    return found.waited_p99_s <= found.p50_s


def longer(demand: Demand, times: float) -> Demand:
    """The same with reasoning that is so many times longer."""
    return replace(demand, answer_times=demand.answer_times * times)
