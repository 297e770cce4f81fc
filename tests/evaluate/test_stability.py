"""Runs side by side: who disagrees, how often, and that nothing remembered is taken for agreement."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from magistrate.backends.scripted import ScriptedBackend
from magistrate.classifiers.reasoner import Reasoner
from magistrate.config import Config, JudgeConfig, ModelConfig
from magistrate.dialects.registry import dialect_named
from magistrate.errors import UsageError
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.interval import wilson_interval
from magistrate.evaluate.probe_policy import rewordings
from magistrate.evaluate.stability import (
    Run,
    StabilityReport,
    judge_run,
    judge_wordings,
    run_settings,
    stability_report,
)
from magistrate.policy.starter import read_starter
from magistrate.run.judge import Judge
from magistrate.types import Completion, Content, FinishReason, Request

SPAM = read_starter("spam")
GOLDEN = tuple(
    GoldenCase(id=name, content=Content.of_text(f"text {name}"), violation=bad)
    for name, bad in (("a", True), ("b", True), ("c", False), ("d", False))
)


def run_of(name: str, answers: str, reasoning: str = "") -> Run:
    """A run of a real reasoner; one character an answer, `-` for an empty one."""
    completions = [
        Completion(
            final="" if answer == "-" else answer, reasoning=reasoning, finish_reason=FinishReason.STOP, model="m"
        )
        for answer in answers
    ]
    reasoner = Reasoner(dialect_named("safeguard.binary.v1"), ScriptedBackend(completions), max_attempts=1)
    return asyncio.run(judge_run(name, SPAM, reasoner, GOLDEN))


def report_of(*answers: str) -> StabilityReport:
    runs = [run_of(f"run {number}", line, "x" * 10 * (number + 1)) for number, line in enumerate(answers)]
    return stability_report(SPAM, "m", GOLDEN, runs)


def test_runs_that_agree_have_no_flips_and_an_honest_interval() -> None:
    report = report_of("1100", "1100", "1100")
    assert (report.flip_rate.hits, report.flip_rate.trials) == (0, 12)
    assert report.flip_rate.interval == wilson_interval(0, 4)
    assert report.differing.hits == 0
    assert report.unstable == []
    assert report.majority_right.value == report.single_right.value == 1.0
    assert report.reasoning_median(differing=True) is None
    assert report.reasoning_median(differing=False) == 20


def test_votes_majorities_and_disagreeing_pairs_are_counted() -> None:
    report = report_of("1100", "1000", "1011", "101-")
    a, b, c, d = report.cases
    assert (a.votes, a.majority, a.disagreeing, a.pairs) == ((True,) * 4, True, 0.0, (0, 6))
    assert (b.majority, b.disagreeing, b.pairs) == (False, 0.25, (3, 6))
    assert (c.majority, c.disagreeing, c.pairs) == (None, 0.5, (4, 6))
    assert (d.votes[3], d.majority, d.decided, d.pairs) == (None, False, 3, (2, 3))
    assert (report.flip_rate.hits, report.flip_rate.trials) == (9, 21)
    assert (report.differing.hits, report.differing.trials) == (3, 4)
    assert (report.majority_right.hits, report.majority_right.trials) == (2, 3)
    assert [case.golden.id for case in report.unstable] == ["c", "d", "b"]
    assert report.undecided()["run 3"] == {"empty_answer": 1}
    assert report.undecided()["run 0"] == {}


def test_a_case_that_one_run_decided_neither_differs_nor_agrees() -> None:
    report = report_of("1---", "----")
    assert (report.flip_rate.trials, report.differing.trials) == (0, 0)
    assert report.flip_rate.interval is None
    assert report.majority_right.trials == 1


def test_one_run_is_no_measurement() -> None:
    with pytest.raises(UsageError, match="2 runs"):
        stability_report(SPAM, "m", GOLDEN, [run_of("only", "1100")])


def test_each_run_has_a_seed_of_its_own_and_no_cache(tmp_path: Path) -> None:
    config = Config(models={"mine": ModelConfig(url="http://127.0.0.1:9/v1", cache=str(tmp_path / "c.db"), seed=40)})
    made = [run_settings("mine", config, run) for run in range(3)]
    settings = [config.models[name or ""] for name, config in made]
    assert [found.seed for found in settings] == [40, 41, 42]
    assert {found.cache for found in settings} == {None}
    assert {found.url for found in settings} == {"http://127.0.0.1:9/v1"}
    assert config.models["mine"].cache is not None


def test_a_url_and_a_configured_default_get_seeds_too() -> None:
    name, config = run_settings("http://127.0.0.1:9/v1", Config(), 3)
    assert config.models[name or ""].seed == 3
    default = Config(judge=JudgeConfig(model="mine"), models={"mine": ModelConfig(url="http://127.0.0.1:9/v1")})
    name, config = run_settings(None, default, 2)
    assert config.models[name or ""].seed == 2


def test_a_judge_can_be_built_for_each_run() -> None:
    for run in range(3):
        name, config = run_settings("http://127.0.0.1:9/v1", Config(), run)
        assert isinstance(Judge(name, model_name="m", config=config).classifier, Reasoner)


def test_the_embedded_judge_and_unknown_names_keep_their_settings() -> None:
    assert run_settings(None, Config(), 1) == (None, Config())
    assert run_settings("embedded", Config(), 1) == ("embedded", Config())
    assert run_settings("unknown", Config(), 1) == ("unknown", Config())


def test_wordings_are_runs_of_their_own() -> None:
    def by_first_rule(request: Request) -> str:
        text = request.messages[0].content
        return "1" if text.index("SP1.") < text.index("SP2.") else "0"

    wordings = [("as written", SPAM), *((n, p) for n, p in rewordings(SPAM) if n == "reordered")]
    reasoner = Reasoner(dialect_named("safeguard.binary.v1"), ScriptedBackend(by_first_rule))
    runs = asyncio.run(judge_wordings(wordings, reasoner, GOLDEN))
    assert [run.name for run in runs] == ["as written", "reordered"]
    report = stability_report(SPAM, "m", GOLDEN, runs)
    order = wordings[1][1].text
    assert report.flip_rate.value == float(order.index("SP1.") > order.index("SP2."))


def test_cases_of_one_cluster_are_not_counted_as_independent() -> None:
    together = tuple(replace(golden, cluster="one" if golden.id in "ab" else "") for golden in GOLDEN)
    report = stability_report(SPAM, "m", together, [run_of("1", "1100"), run_of("2", "1100")])
    assert report.flip_rate.interval == wilson_interval(0, 3)
