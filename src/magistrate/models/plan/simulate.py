"""A queue of requests before replicas that write several answers at once: a simulation, event by event.

A request waits in one line until a replica has a free slot, and goes to the one with the fewest under way. Reading its
prompt holds up all that the replica writes (which is what vLLM's reading in chunks comes to on average). Then every
request under way gets a token a step, and a step takes longer the more there are. Between two events all of a replica's
answers grow alike, so that one number tells how far they are: what has been written for a request that began at the
start. An answer is done when that number has grown by its length.

With one slot this is the M/M/c queue of Erlang; with endless slots and a step in proportion to their number it is
processor sharing. Both have known waiting times, and the tests hold the simulation to them.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from magistrate.models.plan.replica import Replica

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WARM_UP = 0.1
"""Share of the requests, from the first on, that are not counted: the queue starts empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Requests in the order of their arrival; arrays of one length."""

    arrivals: NDArray[np.float64]
    """Seconds, rising."""
    tokens: NDArray[np.float64]
    """To write, above 0."""
    prompt_tokens: NDArray[np.float64]
    """To read that are not remembered from an earlier request."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of the counted requests."""

    waited: NDArray[np.float64]
    """Seconds before a slot was free."""
    took: NDArray[np.float64]
    """Seconds from arrival to the last token."""
    busy: float
    """Share of the slots in use, on average, from the first counted arrival to the last."""


def simulate(replica: Replica, replicas: int, traffic: Traffic) -> Outcome:
    """Run all requests through. Time and memory grow with their number.

    Args:
        replica: What one of them does.
        replicas: How many there are, 1 or more.
        traffic: What arrives.
    """
    import numpy as np

    count = len(traffic.arrivals)
    queue = _Queue([_Running(replica) for _ in range(replicas)])
    arrivals = traffic.arrivals.tolist()
    tokens, prompts = traffic.tokens.tolist(), traffic.prompt_tokens.tolist()
    started, ended = [0.0] * count, [0.0] * count
    waiting: deque[int] = deque()
    nearest, done, first = 0, 0, int(WARM_UP * count)
    in_use: list[float] = []
    while done < count:
        arrival = arrivals[nearest] if nearest < count else math.inf
        finish, place = queue.next_finish()
        now = min(arrival, finish)
        if finish <= arrival:
            ended[queue.finish(place, now)] = now
            done += 1
        else:
            waiting.append(nearest)
            nearest += 1
            if nearest in (first + 1, count):
                in_use.append(queue.slot_seconds(now))
        while waiting and queue.has_room():
            request = waiting.popleft()
            started[request] = now
            queue.begin(request, now, tokens[request], prompts[request] * replica.read_s)
    arrived = traffic.arrivals[first:]
    return Outcome(
        waited=np.array(started)[first:] - arrived,
        took=np.array(ended)[first:] - arrived,
        busy=_share(in_use, float(arrived[-1] - arrived[0]) * replicas * replica.slots),
    )


@dataclass(slots=True)
class _Running:
    """A replica at work."""

    replica: Replica
    written: float = 0.0
    """Tokens of an answer that began at the start."""
    at: float = 0.0
    """The moment of `written`."""
    reading_until: float = 0.0
    under_way: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """A heap: the value of `written` at which a request is done, and which."""
    slot_seconds: float = 0.0

    def advance(self, now: float) -> None:
        requests = len(self.under_way)
        if requests:
            writing = max(0.0, now - max(self.at, self.reading_until))
            self.written += writing / self.replica.step_s[requests]
            self.slot_seconds += requests * (now - self.at)
        self.at = now

    def next_finish(self) -> float:
        if not self.under_way:
            return math.inf
        left = max(0.0, self.under_way[0][0] - self.written)
        return max(self.at, self.reading_until) + left * self.replica.step_s[len(self.under_way)]


class _Queue:
    """All replicas; each event costs the logarithm of their number."""

    def __init__(self, running: Sequence[_Running]) -> None:
        self._running = running
        self._finishes: list[tuple[float, int, int]] = []
        self._idlest = [(0, place, 0) for place in range(len(running))]
        self._changes = [0] * len(running)
        """How often a replica changed: older entries of the two heaps are no longer true."""

    def next_finish(self) -> tuple[float, int]:
        while self._finishes and self._finishes[0][2] != self._changes[self._finishes[0][1]]:
            heapq.heappop(self._finishes)
        return self._finishes[0][:2] if self._finishes else (math.inf, -1)

    def has_room(self) -> bool:
        while self._idlest[0][2] != self._changes[self._idlest[0][1]]:
            heapq.heappop(self._idlest)
        requests, place, _ = self._idlest[0]
        return requests < self._running[place].replica.slots

    def begin(self, request: int, now: float, tokens: float, reading_s: float) -> None:
        """Give a request to the replica with the fewest under way; `has_room` must have said yes just before."""
        place = self._idlest[0][1]
        one = self._running[place]
        one.advance(now)
        one.reading_until = max(one.reading_until, now) + reading_s
        heapq.heappush(one.under_way, (one.written + tokens, request))
        self._changed(place)

    def finish(self, place: int, now: float) -> int:
        one = self._running[place]
        one.advance(now)
        done, request = heapq.heappop(one.under_way)
        one.written = max(one.written, done)  # rounding must not leave an answer a hair short
        self._changed(place)
        return request

    def _changed(self, place: int) -> None:
        self._changes[place] += 1
        one, change = self._running[place], self._changes[place]
        heapq.heappush(self._idlest, (len(one.under_way), place, change))
        if one.under_way:
            heapq.heappush(self._finishes, (one.next_finish(), place, change))

    def slot_seconds(self, now: float) -> float:
        """Used up to a moment that is not before the last event."""
        return sum(one.slot_seconds + len(one.under_way) * (now - one.at) for one in self._running)


def _share(in_use: Sequence[float], most: float) -> float:
    return (in_use[-1] - in_use[0]) / most if most > 0 else 0.0
