"""Judges for the tests: the real reasoner over the scripted backend, which answers by a function of the request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from magistrate.backends.scripted import ScriptedBackend
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.fence import unfence
from magistrate.dialects.registry import dialect_named
from magistrate.evaluate.golden import GoldenCase
from magistrate.policy.model import Policy
from magistrate.types import Content, Request

ADS = """# Adverts

## Violates
- AD1. (medium) Selling goods to strangers.
- AD2. (high) Selling accounts.

## Safe
- ADA1. Questions about an order.

## Examples
- "Buy my rings" -> 1 (AD1)
- "Where is my order?" -> 0 (ADA1)

## Precedence
- AD2 wins over ADA1.
"""


def policy(text: str = ADS) -> Policy:
    return Policy.parse(text, name="ads", file="ads.md")


def reasoner(answer: Callable[[str, str], bool]) -> Reasoner:
    """A judge that says whether content violates, from the policy's text as it is asked and the content."""

    def said(request: Request) -> str:
        system, user = (message.content for message in request.messages[:2])
        return str(int(answer(system, unfence(user).messages[0].content)))

    return Reasoner(dialect_named("safeguard.binary.v1"), ScriptedBackend(said), max_attempts=1)


def coin(seed: int) -> Reasoner:
    """A judge that knows nothing: another policy, or another content, is another toss."""

    def answer(system: str, content: str) -> bool:
        return hashlib.sha256(f"{seed} {system} {content}".encode()).digest()[0] % 2 == 1

    return reasoner(answer)


def golden(count: int, text: Callable[[int], str], violation: Callable[[int], bool]) -> list[GoldenCase]:
    return [GoldenCase(id=f"c{n:03}", content=Content.of_text(text(n)), violation=violation(n)) for n in range(count)]
