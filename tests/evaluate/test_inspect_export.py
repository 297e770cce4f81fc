"""The exported Inspect task: its files without Inspect, and where Inspect is installed a run of it from end to end."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dialects.contents import hostile_texts
from tests.dialects.samples import POLICIES, SPAM

import magistrate
from magistrate.dialects.fence import fence, unfence
from magistrate.dialects.registry import DEFAULT_DIALECT
from magistrate.errors import InputError, UsageError
from magistrate.evaluate.dataset import Dataset, identify
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.inspect_export import inspect_files, sample_line
from magistrate.evaluate.inspect_task import PolicyTask, content_of, figures, scored
from magistrate.policy.model import Policy
from magistrate.types import (
    Abstained,
    Code,
    Completion,
    Content,
    Decided,
    Effort,
    Failed,
    FinishReason,
    Message,
    Role,
    Target,
    Trace,
    Verdict,
)

CHAT = Content.of_chat(
    [Message(Role.SYSTEM, "Be kind."), Message(Role.USER, "Buy rings?"), Message(Role.TOOL, "assistant: 0")],
    Target.USER,
)
CASES = (
    GoldenCase(
        id="a", content=Content.of_text("buy gold\u2028rings"), violation=True, rule_ids=("SP3.b",), cluster="k"
    ),
    GoldenCase(id="b", content=Content.of_text("where is my order"), violation=False, kind="clear", cluster="k"),
    GoldenCase(id="c", content=CHAT, violation=True, lang="en"),
    GoldenCase(id="d", content=Content.of_text("buy silver"), violation=False),
)
TRACE = Trace(policy="p", policy_digest="d", model="m", dialect="d")


def dataset(cases: Sequence[GoldenCase] = CASES) -> Dataset:
    return Dataset(identity=identify(cases, name='gold"""en\n'), cases=tuple(cases))


def export(
    folder: Path, policy: Policy = SPAM, *, dialect: str = DEFAULT_DIALECT, effort: Effort | None = None
) -> Path:
    for path, body in inspect_files(folder / "task.py", policy, dataset(), dialect=dialect, effort=effort).items():
        path.write_bytes(body)
    return folder / "task.py"


def constants(path: Path) -> dict[str, object]:
    """The names in capitals that a file gives plain values."""
    found: dict[str, object] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                found[name] = value
            case _:
                pass
    return found


def decided(*, violation: bool, probability: float | None = None) -> Decided:
    return Decided(
        violation=violation,
        label="l",
        rule_ids=("SP1",),
        severity=None,
        probability=probability,
        rationale="it sells",
        trace=TRACE,
    )


@pytest.mark.parametrize("effort", [None, Effort.LOW])
def test_the_task_compiles_and_names_what_it_is_of(tmp_path: Path, effort: Effort | None) -> None:
    name = 'x"""\nimport os; os.abort()\n$policy_file \\'
    path = export(tmp_path, replace(SPAM, name=name), effort=effort)
    compile(path.read_bytes(), str(path), "exec")
    assert "$" not in path.read_text(encoding="utf-8").replace(ascii(name), "")
    assert constants(path) == {
        "POLICY_NAME": name,
        "POLICY_DIGEST": SPAM.digest,
        "DATASET_NAME": 'gold"""en\n',
        "DATASET_DIGEST": dataset().identity.digest,
        "DIALECT": "safeguard.rationale.v1",
        "EFFORT": effort and effort.value,
    }


def test_samples_are_one_line_each_with_target_and_content(tmp_path: Path) -> None:
    export(tmp_path)
    lines = (tmp_path / "task.jsonl").read_text(encoding="utf-8").splitlines()
    first, second, third, last = map(json.loads, lines)
    assert first == {
        "id": "a",
        "input": "buy gold\u2028rings",
        "target": "violation",
        "metadata": {"judged": "text", "rule_ids": ["SP3.b"], "cluster": "k"},
    }
    assert (second["target"], last["target"]) == ("allowed", "allowed")
    assert third["input"] == "system: Be kind.\nuser: Buy rings?\ntool: assistant: 0"
    assert content_of(third["input"], third["metadata"]) == CHAT


@given(st.lists(st.tuples(st.sampled_from([Role.USER, Role.ASSISTANT]), hostile_texts), min_size=1, max_size=4))
def test_content_comes_back_as_it_was_exported(turns: list[tuple[Role, str]]) -> None:
    content = Content.of_chat([Message(role, text) for role, text in turns])
    for original in (content, Content.of_text(turns[0][1])):
        sample = json.loads(sample_line(GoldenCase(id="x", content=original, violation=True)))
        again = content_of(sample["input"], sample["metadata"])
        assert fence(again) == fence(original) or max("".join(text for _, text in turns)) >= "\ud800"


@settings(deadline=None)
@given(st.sampled_from(POLICIES), hostile_texts)
def test_the_policy_is_asked_as_magistrate_asks_it_with_content_in_its_fence(policy: Policy, text: str) -> None:
    with TemporaryDirectory() as folder:
        path = export(Path(folder), policy)
        task = PolicyTask.load(
            path.with_suffix(".policy.md"),
            name=policy.name,
            digest=policy.digest,
            dialect=DEFAULT_DIALECT,
            effort="low",
        )
    system, user = task.request(Content.of_text(text)).messages
    assert unfence(user.content) == Content.of_text(text)
    assert text not in system.content or text in policy.text or len(text) < 40
    assert system.content.endswith("Reasoning: low")


def test_another_wording_of_the_policy_is_refused(tmp_path: Path) -> None:
    file = export(tmp_path).with_suffix(".policy.md")
    file.write_text(file.read_text(encoding="utf-8") + "\nMore.\n", encoding="utf-8")
    with pytest.raises(InputError, match="another policy"):
        PolicyTask.load(file, name=SPAM.name, digest=SPAM.digest, dialect=DEFAULT_DIALECT)


def test_what_inspect_cannot_run_is_refused_when_it_is_exported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="renders tokens"):
        export(tmp_path, dialect="harmony.rationale.v1")
    with pytest.raises(UsageError, match="no dialect"):
        export(tmp_path, dialect="nonsense")
    with pytest.raises(UsageError, match="Python file"):
        inspect_files(tmp_path / "task.txt", SPAM, dataset())


@pytest.mark.parametrize("metadata", [{}, {"judged": "chat"}, {"judged": "chat", "messages": ["x"]}])
def test_samples_of_somebody_else_are_refused(metadata: dict[str, object]) -> None:
    with pytest.raises(InputError, match="export the task again"):
        content_of("text", metadata)
    with pytest.raises(InputError, match="target"):
        scored(decided(violation=True), "C", {}, "x")


@pytest.mark.parametrize(
    ("verdict", "right", "reason"),
    [
        (decided(violation=True), True, None),
        (decided(violation=False), False, None),
        (Abstained(code=Code.UNSURE, detail="", trace=TRACE), None, "unsure"),
        (Failed(code=Code.REFUSAL, detail="", trace=TRACE), None, "refusal"),
        (Failed(code=Code.EMPTY_ANSWER, detail="", trace=TRACE), None, "no_response"),
        (Failed(code=Code.MALFORMED, detail="", trace=TRACE), None, "invalid_response_format"),
        (Failed(code=Code.TRUNCATED, detail="", trace=TRACE), None, "truncated"),
    ],
)
def test_no_verdict_is_no_score(verdict: Verdict, right: bool | None, reason: str | None) -> None:
    found = scored(verdict, "violation", {"cluster": "k"}, "x")
    assert (found.right, found.reason) == (right, reason)
    assert (found.metadata["golden"], found.metadata["cluster"]) == (True, "k")
    assert ("judged" in found.metadata) is (right is not None)


def test_a_cut_answer_is_not_read(tmp_path: Path) -> None:
    file = export(tmp_path).with_suffix(".policy.md")
    task = PolicyTask.load(file, name=SPAM.name, digest=SPAM.digest, dialect=DEFAULT_DIALECT)
    body = '{"violation": 1, "policy_category": "SP3.b", "rule_ids": ["SP3.b"], "rationale": "x"}'
    whole = Completion(final=body, finish_reason=FinishReason.STOP, model="m")
    assert isinstance(task.verdict(whole), Decided)
    assert isinstance(task.verdict(replace(whole, finish_reason=FinishReason.LENGTH)), Failed)


def test_figures_by_hand_and_repeated_samples_widen_them() -> None:
    # Two caught, one missed, one false alarm, four let through.
    pairs = [(True, True), (True, True), (True, False), (False, True), *[(False, False)] * 4]
    scores = [
        scored(decided(violation=said), "violation" if golden else "allowed", {}, n).metadata
        for n, (golden, said) in enumerate(pairs)
    ]
    found = figures(scores)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["false_positive_rate"] == pytest.approx(1 / 5)
    assert found["auc"] is None
    twice = figures(scores * 2)
    assert twice["precision"] == found["precision"]
    low, low_twice = found["accuracy_low"], twice["accuracy_low"]
    assert low is not None
    assert low_twice is not None
    assert low_twice < low + 0.03, "a second epoch is no second sample"
    assert figures([scores[-1]])["precision"] is None


DRIVER = """
import json, sys
from inspect_ai import eval as run
from inspect_ai.model import ContentReasoning, ContentText, ModelOutput, ModelUsage, get_model

asked = []

def answer(messages, tools, tool_choice, config):
    asked.append([message.text for message in messages])
    user = messages[-1].text
    if "where" in user:
        made = ModelOutput.from_content("mock", '{"violation": 0', stop_reason="max_tokens")
    else:
        said = 1 if "uy" in user else 0
        body = json.dumps({"violation": said, "policy_category": None, "rule_ids": [], "rationale": "so"})
        made = ModelOutput.from_content("mock", [ContentReasoning(reasoning="I think."), ContentText(text=body)])
    made.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # counting them needs a network
    return made

model = get_model("mockllm/model", custom_outputs=answer)
(log,) = run(sys.argv[1], model=model, display="none", log_dir=sys.argv[2], epochs=int(sys.argv[3]))
print(json.dumps({
    "status": log.status,
    "asked": asked,
    "scores": {s.name: [s.scored_samples, s.unscored_samples, {k: m.value for k, m in s.metrics.items()}]
               for s in log.results.scores},
    "samples": {str(s.id): [str(s.scores["verdict"].value), s.scores["verdict"].reason] for s in log.samples},
}))
"""


@pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is None, reason="inspect_ai is not installed")
@pytest.mark.parametrize("epochs", [1, 2])
def test_inspect_runs_the_task_and_scores_only_verdicts(tmp_path: Path, epochs: int) -> None:
    path = export(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(Path(magistrate.__file__).parent.parent)}
    # By its name alone: this version of Inspect takes absolute paths for patterns.
    command = [sys.executable, "-c", DRIVER, path.name, "logs", str(epochs)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == "success"
    assert len(found["asked"]) == 4 * epochs
    assert all(len(messages) == 2 for messages in found["asked"])
    assert {unfence(user).messages[-1].content for _, user in found["asked"]} == {
        case.content.messages[-1].content for case in CASES
    }
    # a and c are caught, d is a false alarm, b was cut off.
    number, unscored, metrics = found["scores"]["verdict"]
    assert (number, unscored) == (3 * epochs, epochs)
    assert metrics["precision"] == pytest.approx(2 / 3)
    assert metrics["recall"] == 1
    assert metrics["f1"] == pytest.approx(0.8)
    assert 0 < metrics["precision_low"] < 2 / 3 < metrics["precision_high"] < 1
    assert found["scores"]["decided"][2]["mean"] == 0.75
    assert found["samples"] == {"a": ["C", None], "b": ["nan", "truncated"], "c": ["C", None], "d": ["I", None]}
