"""A stage whose server is down when the cascade opens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Self

import pytest
from tests.classifiers.cascade.scripted import Scripted, case, plan_of, says, stage

from magistrate.case import Case
from magistrate.classifiers.cascade.driver import Cascade
from magistrate.classifiers.cascade.standby import Standby
from magistrate.errors import BackendError, UnreachableError
from magistrate.types import Code, Course, Decided, Failed, Verdict


class Server(Scripted):
    """Opens only while it is up."""

    def __init__(self, *, up: bool) -> None:
        super().__init__(lambda _: says(0.9))
        self.up = up
        self.tries = 0

    async def judge_again(self, cases: Sequence[Case], turns: Sequence[int]) -> list[Verdict]:
        assert len(turns) == len(cases)
        return await self.judge_many(cases)

    async def __aenter__(self) -> Self:
        self.tries += 1
        if not self.up:
            raise UnreachableError("http://x/v1/models: unreachable: ConnectError", hint="is it running?")
        return await super().__aenter__()


PLAN = plan_of(stage("screen", 0.2, None), stage("reasoner", 0.5, 0.5))


def screen() -> Scripted:
    return Scripted(lambda asked: says(0.1 if asked.id == "easy" else 0.5))


def test_screens_go_on_alone_and_the_server_is_used_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    server, now = Server(up=False), [100.0]
    standby = Standby(server, "http://x/v1", again_s=30, clock=lambda: now[0])
    cascade = Cascade(PLAN, [screen(), standby])

    async def day() -> list[list[Verdict]]:
        cases = [case("a", "easy"), case("b", "hard")]
        found = []
        async with cascade:
            assert any("unreachable" in record.message for record in caplog.records)
            found.append(await cascade.judge_many(cases))
            server.up = True
            found.append(await cascade.judge_many(cases))
            now[0] += 30
            found.append(await cascade.judge_many(cases))
        return found

    with caplog.at_level(logging.WARNING):
        down, too_soon, back = asyncio.run(day())
    for cleared, failed in (down, too_soon):
        assert isinstance(cleared, Decided)
        assert not cleared.violation
        assert isinstance(failed, Failed)
        assert failed.code is Code.UNREACHABLE
        assert [step.course for step in failed.trace.steps] == [Course.ESCALATED, Course.UNDECIDED]
    assert isinstance(back[1], Decided)
    assert back[1].violation
    assert server.tries == 2
    assert server.entered == 0
    assert [note.partition(": ")[0] for note in cascade.notes] == ["reasoner", "reasoner"]
    assert "can be reached now" in cascade.notes[1]


def test_what_waiting_does_not_mend_is_raised_on_opening() -> None:
    class NoKey(Server):
        async def __aenter__(self) -> Self:
            raise BackendError("the environment variable 'KEY' is not set")

    async def opened() -> None:
        async with Cascade(PLAN, [screen(), Standby(NoKey(up=True), "m")]):
            raise AssertionError("it opened")

    with pytest.raises(BackendError, match="KEY"):
        asyncio.run(opened())


def test_a_server_that_opens_unseen_is_probed_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def dead() -> None:
        raise UnreachableError("http://x/v1/models: unreachable: ConnectError")

    async def run() -> tuple[str, ...]:
        async with Standby(Server(up=True), "mine", probe=dead) as standby:
            (verdict,) = await standby.judge_many([case()])
            assert isinstance(verdict, Decided)  # the calls themselves are left to it
            return standby.notes

    with caplog.at_level(logging.WARNING):
        (note,) = asyncio.run(run())
    assert "comes back as failed" in note
    assert caplog.records[0].message.startswith("mine: ")
