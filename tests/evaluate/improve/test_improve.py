from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from tests.evaluate.improve.judges import coin, golden, policy, reasoner

from magistrate.backends.scripted import ScriptedBackend
from magistrate.classifiers.reasoner import Reasoner
from magistrate.errors import UsageError
from magistrate.evaluate.compare import Conclusion
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.improve.ask import Writer
from magistrate.evaluate.improve.choose import Result
from magistrate.evaluate.improve.edit import Origin
from magistrate.evaluate.improve.improve import Improvement, Settings, Stop, improve
from magistrate.evaluate.improve.mistakes import Kind
from magistrate.evaluate.improve.plain import improvement_values, policy_diff
from magistrate.evaluate.metrics import Metric
from magistrate.types import Sampling

HOTELS = golden(
    80, lambda n: f"case {n}: {('buy my rings', 'my order', 'we loved the hotel beach')[n % 3]}", lambda n: n % 3 == 0
)


def by_words(system: str, content: str) -> bool:
    """Flags rings, and hotels too unless the policy's text has the word."""
    return "rings" in content or ("hotel" in content and "hotel" not in system)


def run(
    cases: list[GoldenCase], judge: Reasoner, settings: Settings | None = None, writer: Writer | None = None
) -> Improvement:
    return asyncio.run(improve(policy(), cases, judge, writer=writer, settings=settings))


def test_an_error_that_a_wording_mends_is_found_mended_and_told() -> None:
    found = run(HOTELS, reasoner(by_words))
    (group,) = found.groups
    assert (group.kind, group.rule, group.right) == (Kind.FALSE_ALARM, None, 0)
    assert found.conclusion is Conclusion.BETTER
    assert found.edited is not None
    assert "hotel" in found.edited.text
    assert found.comparison is not None
    assert found.comparison.mcnemar.only_first == 0
    assert found.comparison.mcnemar.only_second == found.wrong_held_out
    assert {trial.result for trial in found.trials} <= {Result.KEPT, Result.NO_GAIN, Result.NOT_BESIDE, Result.REFUSED}
    assert found.judgements <= Settings().budget(len(HOTELS))
    values = json.loads(json.dumps(improvement_values(found)))
    assert values["conclusion"] == "better"
    assert values["diff"] == policy_diff(found.policy, found.edited)


def test_the_same_call_finds_the_same() -> None:
    first, second = run(HOTELS, reasoner(by_words)), run(HOTELS, reasoner(by_words))
    assert improvement_values(first) == improvement_values(second)


def test_nothing_that_is_held_out_gets_into_the_policy() -> None:
    found = run(HOTELS, reasoner(by_words))
    analysed = {case.id for case in found.parts.analysis}
    assert all(trial.proposal.taken <= analysed for trial in found.trials)
    assert found.edited is not None
    assert not any(case.content.messages[0].content in found.edited.text for case in found.parts.held_out)


def test_no_case_speaks_for_an_example_that_was_taken_from_it() -> None:
    """A judge that knows by heart what the policy shows: every example mends its own case, and no other."""
    found = run(HOTELS, reasoner(lambda system, content: content not in system))
    assert found.stop is Stop.NOTHING_HELPED
    assert all(trial.mended == 0 for trial in found.trials)


def test_a_model_is_asked_for_edits_besides() -> None:
    answer = json.dumps({"edits": [{"kind": "rule", "violation": False, "text": "Talk of a hotel stay.", "why": "w"}]})
    backend = ScriptedBackend(lambda request: answer)
    found = run(HOTELS, reasoner(by_words), writer=Writer(backend=backend, sampling=Sampling()))
    assert found.requests == len(backend.requests) == 1
    first = found.trials[0]
    assert (first.proposal.origin, first.result) == (Origin.REASONER, Result.KEPT)
    assert found.edited is not None
    assert "- ADA2. Talk of a hotel stay." in found.edited.text


def test_a_budget_is_kept_with_the_test_in_it() -> None:
    for budget in (161, 200, 260):
        found = run(HOTELS, reasoner(by_words), Settings(max_calls=budget))
        assert found.judgements <= budget
        assert any(trial.result is Result.NOT_TRIED for trial in found.trials)
    with pytest.raises(UsageError, match="159 judgements are too few") as caught:
        run(HOTELS, reasoner(by_words), Settings(max_calls=159))
    assert "--max-calls 160" in str(caught.value)


def test_where_nothing_is_wrong_nothing_is_tried() -> None:
    found = run(HOTELS, reasoner(lambda system, content: "rings" in content))
    assert (found.stop, found.trials, found.judgements) == (Stop.NO_MISTAKES, (), 80)


def test_too_few_mistakes_are_not_worth_a_search() -> None:
    def rare(system: str, content: str) -> bool:
        return by_words(system, content) and ("rings" in content or int(content.split(":")[0].split()[1]) < 20)

    found = run(HOTELS, reasoner(rare))
    assert found.stop is Stop.TOO_FEW_HELD_OUT
    assert found.wrong_held_out + (found.more_wrong or 0) == 5
    assert found.more_cases is not None
    assert found.judgements == 80
    anyway = run(HOTELS, reasoner(rare), Settings(anyway=True))
    assert anyway.edited is not None
    assert anyway.conclusion is Conclusion.CANNOT_TELL


def test_edits_are_chosen_by_decisions() -> None:
    with pytest.raises(UsageError, match="AUC is not one of them"):
        run(HOTELS, reasoner(by_words), Settings(decided_by=Metric.AUC))
    found = run(HOTELS, reasoner(by_words), Settings(decided_by=Metric.FALSE_POSITIVE_RATE))
    assert found.conclusion is Conclusion.BETTER


def noise(seed: int) -> list[GoldenCase]:
    return golden(60, lambda n: f"{seed} talk about hotel number {n}", lambda n: n % 2 == 0)


SETTINGS = Settings(max_calls=60 * 7)


@pytest.mark.parametrize("runs", [120, pytest.param(1500, marks=pytest.mark.slow)])
def test_on_noise_it_is_seldom_called_better_however_good_the_edits_look_where_they_were_chosen(runs: int) -> None:
    """Half of the 5 % false alarms of a two-sided test; the bound is exceeded once in a thousand at that rate."""
    found = [run(noise(seed), coin(seed), SETTINGS) for seed in range(runs)]
    tested = [(result, result.comparison) for result in found if result.comparison is not None]
    better = sum(result.conclusion is Conclusion.BETTER for result in found)
    assert better <= {120: 9, 1500: 58}[runs]
    assert len(tested) > runs / 2
    chosen = np.mean([max(trial.gain[0] for trial in result.trials) for result, _ in tested])
    held_out = np.mean([comparison.deciding.value or 0.0 for _, comparison in tested])
    assert chosen > 0.1
    assert abs(held_out) < 0.05
