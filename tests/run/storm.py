"""A server that fails one call in five at random, in six ways, and counts how often each case was asked."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field

from tests.backends.chat_server import Answer, Asked, Raw, chat_json, error_json

CASES = 1000
FAILING = 0.2
ATTEMPTS = 4
"""Calls a case at the most."""
STALL_S = 600.0
FAULTS = ("500", "429", "reset", "stall", "garbage", "cut")

_CASE = re.compile(r"post number (\d+)\b")


def text_of(number: int) -> str:
    """The content of a case, by which the server knows it."""
    return f"post number {number}, as good as any"


def is_violation(number: int) -> bool:
    """What the server says of it."""
    return number % 3 == 0


@dataclass
class Storm:
    """The script of a `ChatServer`."""

    seed: int
    longest_s: float = 0.0
    """Answers take up to this, as a model's do."""
    asked: Counter[int] = field(default_factory=Counter[int])
    answered: Counter[int] = field(default_factory=Counter[int])
    faults: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def __call__(self, asked: Asked) -> Answer | Raw:
        """Answer, or fail."""
        (number,) = (int(found) for found in set(_CASE.findall(asked.body["messages"][-1]["content"])))
        self.asked[number] += 1
        if self._chance.random() < FAILING:
            return self._fault()
        self.answered[number] += 1
        answer = chat_json("1" if is_violation(number) else "0")
        return Answer(answer, delay_s=self.longest_s * (0.5 + self._chance.random() / 2))

    def _fault(self) -> Answer | Raw:
        kind = self._chance.choice(FAULTS)
        self.faults[kind] += 1
        match kind:
            case "500":
                return Answer(error_json("the model fell over"), 500)
            case "429":
                return Answer(error_json("slower, please"), 429, {"retry-after": "1"})
            case "reset":
                return Raw((), reset=True)
            case "stall":
                return Raw(
                    (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{", STALL_S)
                )
            case "garbage":
                return Answer(self._chance.randbytes(self._chance.randint(0, 200)))
            case _:
                whole = chat_json("0")
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(whole)}\r\n\r\n"
                return Raw((head.encode() + whole[: self._chance.randint(1, len(whole) - 1)],))
