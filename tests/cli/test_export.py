from __future__ import annotations

import json
from pathlib import Path

from tests.cli.terminal import Terminal


def test_a_starter_is_exported_once_and_over_it_only_when_forced(magistrate: Terminal) -> None:
    done = magistrate("export", "inspect", "spam", "--out", "out/task.py", "--effort", "low")
    assert done.status == 0
    assert done.out.split() == ["out/task.py", "out/task.jsonl", "out/task.policy.md"]
    compile(Path("out/task.py").read_bytes(), "task.py", "exec")
    rows = [json.loads(line) for line in Path("out/task.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (len(rows), sum(row["target"] == "violation" for row in rows)) == (65, 33)
    again = magistrate("export", "inspect", "spam", "--out", "out/task.py")
    assert again.status == 64
    assert "there already" in again.err
    assert magistrate("export", "inspect", "spam", "--out", "out/task.py", "--force").status == 0
    assert "EFFORT = None" in Path("out/task.py").read_text(encoding="utf-8")


def test_a_golden_set_is_read_with_its_policy(magistrate: Terminal) -> None:
    magistrate("policies", "copy", "spam", "mine.md")
    Path("mine.golden.jsonl").unlink()
    assert "no golden set beside it" in magistrate("export", "inspect", "mine.md", "--out", "t.py").err
    Path("set.csv").write_text("id,content,ground_truth\n1,Buy my course!,1\n2,Hi Sam,0\n", encoding="utf-8")
    assert magistrate("export", "inspect", "mine.md", "--data", "set.csv", "--out", "t.py").status == 0
    assert len(Path("t.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert magistrate("export", "inspect", ".", "--out", "u.py").status == 64
    assert magistrate("export", "inspect", "spam", "--dialect", "harmony.binary.v1", "--out", "u.py").status == 64
