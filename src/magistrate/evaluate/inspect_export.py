"""A policy and its golden set as a task of Inspect, so that they run in that ecosystem.

Three files: the task, which needs `inspect_ai` and magistrate; its samples as JSON lines; the policy.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from magistrate.dialects.registry import DEFAULT_DIALECT
from magistrate.errors import UsageError
from magistrate.evaluate.dataset import Dataset
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.inspect_task import ALLOWED, VIOLATION, chat_dialect
from magistrate.policy.model import Policy
from magistrate.row import json_line
from magistrate.types import Content, Effort, Target

TEMPLATE = "inspect_task.py.txt"


def inspect_files(
    out: Path, policy: Policy, dataset: Dataset, *, dialect: str = DEFAULT_DIALECT, effort: Effort | None = None
) -> dict[Path, bytes]:
    """Write a task and what lies beside it, as bytes by path.

    Args:
        out: Of the task, ends in `.py`; the other files have its name with other endings.
        policy: To judge under.
        dataset: Its golden set.
        dialect: How models are asked.
        effort: How long they may think; None leaves it to `inspect eval`.

    Raises:
        UsageError: another ending, no such dialect, or one that Inspect cannot send.
    """
    if out.suffix.lower() != ".py":
        raise UsageError(f"a task is a Python file, got {str(out)!r}", hint="give a name that ends in .py")
    samples, policy_file = out.with_suffix(".jsonl"), out.with_suffix(".policy.md")
    names = {
        "policy_file": policy_file.name,
        "samples": samples.name,
        "policy_name": policy.name,
        "policy_digest": policy.digest,
        "dialect": chat_dialect(dialect).name,
        "effort": None if effort is None else effort.value,
        "dataset_name": dataset.name,
        "dataset_digest": dataset.identity.digest,
    }
    template = Template((files("magistrate.evaluate") / TEMPLATE).read_text(encoding="utf-8"))
    # As literals of Python: names of files may hold anything.
    code = template.substitute({name: ascii(value) for name, value in names.items()})
    return {
        out: code.encode(),
        samples: "".join(sample_line(case) + "\n" for case in dataset.cases).encode(),
        policy_file: policy.text.encode(),
    }


def sample_line(case: GoldenCase) -> str:
    """A case as a sample of Inspect: one line of JSON. What a case does not have is left out."""
    rest: dict[str, object] = {
        "rule_ids": list(case.rule_ids),
        "label": case.label,
        "kind": case.kind,
        "lang": case.lang,
        "category": case.category,
        "cluster": case.cluster,
    }
    return json_line(
        {
            "id": case.id,
            "input": _input(case.content),
            "target": VIOLATION if case.violation else ALLOWED,
            "metadata": {**_content(case.content), **{name: value for name, value in rest.items() if value}},
        }
    )


def _input(content: Content) -> str:
    """What a reader of the log sees; of a chat the messages are in the metadata too, where nothing can forge one."""
    if content.target is Target.TEXT:
        return content.messages[0].content
    return "\n".join(f"{message.role.value}: {message.content}" for message in content.messages)


def _content(content: Content) -> dict[str, object]:
    if content.target is Target.TEXT:
        return {"judged": Target.TEXT.value}
    messages = [{"role": message.role.value, "content": message.content} for message in content.messages]
    return {"judged": content.target.value, "messages": messages}
