"""The budget, live: keeps the last stage's share under a limit while traffic shifts, spent where it saves most.

No clock and no I/O: time is passed in, in seconds, and never goes back.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import accumulate

from magistrate.classifiers.cascade.plan import Limit

SLOTS = 60
"""The sliding window is moved on in this many steps."""
MEMORY = 2000.0
"""Arrivals after which what was learned of losses counts 1/e: of arrivals, so that a spike is learned of quickly."""
GRADES = 240
SMALLEST_LOSS = 1e-6
"""Losses are told apart in `GRADES` steps of equal ratio from here to the greatest; smaller ones not at all."""
SETPOINT = 0.1
"""The part of the allowance that is kept for what comes: more makes the controller ask for less, less for more."""
GAIN = 3.0
"""A full bucket aims at exp(0.9 * GAIN) times the share, an empty one at exp(-0.1 * GAIN) times it."""
REFRESH = 16
"""Decisions between two looks at the threshold."""


@dataclass(frozen=True, slots=True)
class Use:
    """What came and what was spent in the window."""

    arrived: float
    spent: float

    @property
    def share(self) -> float:
        """0 where nothing came."""
        return self.spent / self.arrived if self.arrived else 0.0


class Controller:
    """A bucket that arrivals fill and the last stage empties, and a threshold on the expected loss above it.

    Every arrival puts `share` times its cost into the bucket; what the bucket cannot hold, the share of a whole
    window, is lost. A case is granted if the bucket holds its cost and its expected loss is among the greatest: the
    threshold is the loss above which so much cost arrived lately as the share pays for, moved down where the bucket is
    full and up where it is empty.

    So over any time, spent <= share * arrived + share * (arrived in one window), whatever the traffic does.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._level = 0.0
        self._slots: deque[_Slot] = deque()
        self._arrived = 0.0
        self._spent = 0.0
        self._losses = _Losses(max(limit.miss_cost, limit.alarm_cost))
        self._threshold = 0.0
        self._until_refresh = 0

    @property
    def use(self) -> Use:
        """Of the window."""
        return Use(max(0.0, self._arrived), max(0.0, self._spent))

    @property
    def threshold(self) -> float:
        """Expected loss from which a case is granted."""
        return self._threshold

    def arrived(self, cost: float, now: float) -> None:
        """Count a case that came, whatever becomes of it.

        Args:
            cost: What the last stage would take for it, in the limit's unit.
            now: Seconds.
        """
        self._slot(now).arrived += cost
        self._arrived += cost
        self._losses.forget(cost)
        self._level = min(self._level + self.limit.share * cost, self._capacity)

    def decide(self, loss: float, cost: float, now: float) -> bool:
        """Grant a case or not, and set its cost aside if so.

        Args:
            loss: Expected, of deciding the case otherwise.
            cost: As in `arrived`.
            now: Seconds.
        """
        self._losses.add(loss, cost)
        if self._until_refresh <= 0:
            self._threshold = self._losses.threshold(self.limit.share * self._correction)
            self._until_refresh = REFRESH
        self._until_refresh -= 1
        if self._level < cost or loss < self._threshold:
            return False
        self.spent(cost, 0.0, now)
        return True

    def spent(self, cost: float, reserved: float, now: float) -> None:
        """Put right what was set aside when the true cost is known; `reserved` is 0 for what was never granted."""
        slot = self._slot(now)
        slot.spent += cost - reserved
        self._spent += cost - reserved
        self._level -= cost - reserved

    @property
    def _capacity(self) -> float:
        return self.limit.share * self._arrived

    @property
    def _correction(self) -> float:
        """Above 1 where more is left than should be, as after a jump down, until what was learned has faded."""
        if self._capacity <= 0:
            return 1.0
        return math.exp(GAIN * (self._level / self._capacity - SETPOINT))

    def _slot(self, now: float) -> _Slot:
        width = self.limit.window_s / SLOTS
        number = math.floor(now / width)
        if not self._slots or number > self._slots[-1].number:
            self._slots.append(_Slot(number))
        while self._slots[0].number <= number - SLOTS:
            old = self._slots.popleft()
            self._arrived -= old.arrived
            self._spent -= old.spent
        return self._slots[-1]


@dataclass(slots=True)
class _Slot:
    number: int
    arrived: float = 0.0
    spent: float = 0.0


class _Losses:
    """How the cost of what was offered is spread over expected losses; older offers count less."""

    def __init__(self, greatest: float) -> None:
        self._ratio = math.log(greatest / SMALLEST_LOSS) / GRADES
        self._grades = [0.0] * (GRADES + 1)
        self._arrived = 0.0
        self._weight = 1.0
        """Of the next arrival: growing weights are the same as fading ones, without touching the old."""

    def forget(self, cost: float) -> None:
        """Count an arrival; all before it fade a little."""
        self._weight *= 1 + 1 / MEMORY
        self._arrived += cost * self._weight
        if self._weight > 1e100:
            self._grades = [grade / self._weight for grade in self._grades]
            self._arrived /= self._weight
            self._weight = 1.0

    def add(self, loss: float, cost: float) -> None:
        """Count an offer."""
        self._grades[self._grade(loss)] += cost * self._weight

    def threshold(self, share: float) -> float:
        """The loss from which on the offers cost `share` of all that arrived; 0 where all of them cost less."""
        wanted = share * self._arrived
        above = 0.0
        for grade, total in zip(range(GRADES, -1, -1), accumulate(reversed(self._grades)), strict=True):
            if total > wanted:
                # Within a grade the cost is taken to be spread evenly.
                part = (wanted - above) / (total - above)
                return SMALLEST_LOSS * math.exp((grade + 1 - part) * self._ratio) if grade else 0.0
            above = total
        return 0.0

    def _grade(self, loss: float) -> int:
        if loss <= SMALLEST_LOSS:
            return 0
        return min(GRADES, int(math.log(loss / SMALLEST_LOSS) / self._ratio))
