"""A screen that was trained for one policy: a text's vector under a linear head."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio.to_thread

from magistrate.case import Case
from magistrate.classifiers.logistic import logistic
from magistrate.classifiers.screens.folder import FORM, ScreenFolder, ScreenKind, read_screen_folder
from magistrate.classifiers.screens.reading import TextReader, Words, reader_of
from magistrate.errors import BackendError
from magistrate.policy.model import Policy
from magistrate.types import Abstained, Code, Content, Decided, Trace, Usage, Verdict

NAMED_WORDS = 3
"""On each side, at the most."""
FAINTEST = 0.05
"""A word that adds less to the log-odds, either way, is not named."""


class TrainedScreen:
    """Judges by what labelled cases have taught: no rules are read, the policy is known by its labels alone.

    It serves one version of one policy; a case under any other is abstained from, because labels that were given
    under another text say nothing of it. A verdict is a violation from the screen's threshold on. Of content of
    several judged messages, all are read as one text.

    Args:
        folder: What `magistrate train screen` wrote.

    Raises:
        BackendError: the folder holds no screen, or one that was trained on other vectors.
    """

    def __init__(self, folder: Path) -> None:
        self._screen = read_screen_folder(folder)
        self._reader = reader_of(self._screen.settings.kind)
        self._name = self._screen.name
        _check_vectors(self._screen, self._reader, folder)

    @property
    def name(self) -> str:
        """Policy, kind and digest of the screen."""
        return self._name

    @property
    def kind(self) -> ScreenKind:
        """What it reads with."""
        return self._screen.settings.kind

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._reader.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await anyio.to_thread.run_sync(self._reader.__exit__, kind, error, trace)

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case, in a thread beside the event loop."""
        return await anyio.to_thread.run_sync(self._judge, cases)

    def _judge(self, cases: Sequence[Case]) -> list[Verdict]:
        started = time.perf_counter()
        mine = [case for case in cases if case.policy.digest == self._screen.settings.policy_digest]
        heard = self._reader.hear([judged_text(case.content) for case in mine], self._screen.head)
        chances = logistic(heard.log_odds)
        each_ms = (time.perf_counter() - started) * 1000 / max(1, len(mine))
        decided = (
            self._decided(case.policy, chance, words, tokens, each_ms)
            for case, chance, words, tokens in zip(
                mine, chances.tolist(), heard.words, heard.tokens.tolist(), strict=True
            )
        )
        return [
            next(decided) if case.policy.digest == self._screen.settings.policy_digest else self._other(case.policy)
            for case in cases
        ]

    def _decided(self, policy: Policy, probability: float, words: Words, tokens: int, latency_ms: float) -> Decided:
        violation = probability >= self._screen.settings.threshold
        usage = Usage(input_tokens=tokens or None)
        return Decided(
            violation=violation,
            label=policy.first_label(violation=violation),
            rule_ids=(),
            severity=None,
            probability=probability,
            rationale=self._rationale(probability, words, violation=violation),
            trace=self._trace(policy, latency_ms=latency_ms, usage=usage),
        )

    def _rationale(self, probability: float, words: Words, *, violation: bool) -> str:
        settings = self._screen.settings
        side = "at or above" if violation else "below"
        said = f"probability {probability:.3f}, {side} the screen's {settings.threshold:.3f}"
        for name, found in (("for a violation", _named(words, sign=1)), ("against", _named(words, sign=-1))):
            if found:
                said += f"; loudest {name}: {found}"
        return f"{said} (learned from {settings.cases:,} labelled cases; reads no rules)"

    def _other(self, policy: Policy) -> Abstained:
        settings = self._screen.settings
        same = " in another version" if policy.name == settings.policy else ""
        return Abstained(
            code=Code.UNSURE,
            detail=f"the screen was trained for policy {settings.policy!r}{same} ({settings.policy_digest[:19]}…), "
            f"not for this one; train one for it: magistrate train screen",
            trace=self._trace(policy),
        )

    def _trace(self, policy: Policy, *, latency_ms: float = 0.0, usage: Usage | None = None) -> Trace:
        return Trace(
            policy=policy.name,
            policy_digest=policy.digest,
            model=self._name,
            dialect=FORM,
            latency_ms=latency_ms,
            usage=usage or Usage(),
        )


def judged_text(content: Content) -> str:
    """The judged messages as one text."""
    judged = content.judged
    return judged[0].content if len(judged) == 1 else "\n".join(message.content for message in judged)


def _named(words: Words, *, sign: int) -> str:
    """The loudest words of one side; what a word adds is added up over its places in the text."""
    sums: dict[str, float] = {}
    for word, share in words:
        sums[word] = sums.get(word, 0.0) + share
    loud = [(word, share) for word, share in sums.items() if share * sign >= FAINTEST]
    loud.sort(key=lambda one: -abs(one[1]))
    return ", ".join(f"{word!r} {share:+.2f}" for word, share in loud[:NAMED_WORDS])


def _check_vectors(screen: ScreenFolder, reader: TextReader, folder: Path) -> None:
    settings = screen.settings
    if settings.vectors != reader.name:
        raise BackendError(
            f"the screen in {str(folder)!r} weighs the numbers of {settings.vectors!r}; this magistrate has "
            f"{reader.name!r}",
            hint="train the screen again, which takes about a minute: magistrate train screen --help",
        )
    found = (screen.head.weights.size, screen.head.tokens.size)
    if found != (reader.dimensions, reader.vocabulary):
        raise BackendError(
            f"the head in {str(folder)!r} has {found[0]} weights and {found[1]} of tokens, {reader.name!r} has "
            f"{reader.dimensions} numbers and {reader.vocabulary} tokens",
            hint="restore the folder, or train the screen again",
        )
