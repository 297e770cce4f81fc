"""The pool: every case gets its answer, whoever dies; only a case that kills its replica by itself is given up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.digest import text_digest
from magistrate.errors import BackendError
from magistrate.run.cluster.pool import ALONE_TRIES, Lost, Pool
from magistrate.run.cluster.replica import Asked, Ready, Refusal
from magistrate.run.cluster.session import WorkerDiedError
from magistrate.types import Content, Decided, Trace, Verdict

POISON = "poison"


class Mortal:
    """A replica in this process that dies of poison, and whenever its list of deaths says so."""

    def __init__(self, *, deaths: Sequence[bool] = (), answer: Ready | Refusal | None = None) -> None:
        self._deaths = iter(deaths)
        self._answer = answer or Ready("judge", "1")
        self._is_open = False
        self._life = asyncio.Event()
        self.judged: list[str] = []
        self.openings = 0
        self.under_way = 0
        self.peak = 0

    async def ready(self) -> Ready | Refusal:
        await asyncio.sleep(0)
        self.openings += 1
        self._is_open = True
        return self._answer

    async def judge(self, asked: Sequence[Asked]) -> list[Verdict] | Refusal:
        assert self._is_open, "asked before it was open"
        life = self._life
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            await asyncio.sleep(0)
            if any(one.id == POISON for one in asked) or next(self._deaths, False):
                self._die()
            await asyncio.sleep(0)
            if life.is_set():
                raise WorkerDiedError("killed")
        finally:
            self.under_way -= 1
        self.judged += [one.id for one in asked]
        return [verdict(one) for one in asked]

    async def close(self) -> None: ...

    def _die(self) -> None:
        """All calls under way die together."""
        self._is_open = False
        self._life.set()
        self._life = asyncio.Event()


def verdict(asked: Asked) -> Verdict:
    trace = Trace(policy="p", policy_digest=text_digest("p"), model="judge", dialect="d")
    return Decided(
        violation=False,
        label="safe",
        rule_ids=(),
        severity=None,
        probability=None,
        rationale=asked.id,
        trace=trace,
    )


def asked(ids: Sequence[str]) -> list[Asked]:
    return [Asked(0, Content.of_text("x"), one) for one in ids]


async def judged(workers: Sequence[Mortal], chunks: Sequence[Sequence[str]], *, calls: int) -> list[str]:
    """What came of each case: its id, or `lost`."""
    pool = Pool(workers, calls=calls, version="1")
    await pool.open()
    answers = await asyncio.gather(*(pool.judge(asked(chunk)) for chunk in chunks))
    await pool.close()
    assert pool.name == "judge"
    return [came_of(one) for answer in answers for one in answer]


def came_of(answer: Verdict | Lost) -> str:
    assert isinstance(answer, Lost | Decided)
    return "lost" if isinstance(answer, Lost) else answer.rationale


def test_the_work_is_spread_and_bounded() -> None:
    workers = [Mortal(), Mortal(), Mortal()]
    chunks = [[f"{n}a", f"{n}b"] for n in range(30)]
    assert asyncio.run(judged(workers, chunks, calls=2)) == [one for chunk in chunks for one in chunk]
    assert [worker.peak for worker in workers] == [2, 2, 2]
    assert sorted(one for worker in workers for one in worker.judged) == sorted(one for c in chunks for one in c)


@given(
    deaths=st.lists(st.lists(st.booleans(), max_size=4), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    calls=st.integers(1, 3),
)
def test_no_death_from_outside_costs_a_verdict(deaths: list[list[bool]], sizes: list[int], calls: int) -> None:
    """As long as a case is not killed `ALONE_TRIES` times in a row while it is alone."""
    spaced = [[one for death in own for one in (death, *[False] * 40)] for own in deaths]
    workers = [Mortal(deaths=own) for own in spaced]
    chunks = [[f"{n}.{k}" for k in range(size)] for n, size in enumerate(sizes)]
    found = asyncio.run(judged(workers, chunks, calls=calls))
    assert found == [one for chunk in chunks for one in chunk]
    times = Counter(one for worker in workers for one in worker.judged)
    assert set(times.values()) == {1}, "an answer that was had is not asked for again"


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    where=st.integers(0, 100),
    workers=st.integers(1, 3),
    calls=st.integers(1, 3),
)
def test_a_case_that_kills_is_given_up_alone(sizes: list[int], where: int, workers: int, calls: int) -> None:
    ids = [f"c{n}" for n in range(sum(sizes))]
    ids[where % len(ids)] = POISON
    rest = iter(ids)
    chunks = [[next(rest) for _ in range(size)] for size in sizes]
    found = asyncio.run(judged([Mortal() for _ in range(workers)], chunks, calls=calls))
    assert found == ["lost" if one == POISON else one for one in ids]


def test_a_case_that_kills_is_tried_alone_before_it_is_given_up() -> None:
    worker = Mortal()
    assert asyncio.run(judged([worker], [[POISON]], calls=1)) == ["lost"]
    assert worker.openings == 1 + 1 + ALONE_TRIES


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Refusal("the key is not set", "export MY_KEY=..."), "the key is not set"),
        (Ready("judge", "2"), "magistrate 2, here it is 1"),
    ],
)
def test_it_goes_on_without_a_replica_that_refuses_and_not_without_all(answer: Ready | Refusal, says: str) -> None:
    good = Mortal()
    assert asyncio.run(judged([Mortal(answer=answer), good], [["a"], ["b"]], calls=1)) == ["a", "b"]
    assert good.judged == ["a", "b"]
    with pytest.raises(BackendError, match=says):
        asyncio.run(judged([Mortal(answer=answer), Mortal(answer=answer)], [["a"]], calls=1))


def test_replicas_of_two_models_do_not_judge_one_batch() -> None:
    workers = [Mortal(), Mortal(answer=Ready("another", "1"))]
    assert asyncio.run(judged(workers, [["a"], ["b"], ["c"]], calls=1)) == ["a", "b", "c"]
    assert workers[1].judged == []
