from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal

pytest.importorskip("sklearn")

POLICY = "# Colours\n\n## Violates\n- S1. Speaks of banned colours.\n\n## Allowed\n- S2. Speaks of anything else.\n"
LISTS = 'name = "colours"\n[[list]]\nrule = "S1"\nkeywords = ["crimson"]\n'


@pytest.fixture(autouse=True)
def files(magistrate: Terminal) -> None:
    Path("colours.md").write_text(POLICY, encoding="utf-8")
    Path("lists.toml").write_text(LISTS, encoding="utf-8")
    write([{"text": f"a {'red' if n % 3 == 0 else 'blue'} shirt {n}", "violation": n % 3 == 0} for n in range(90)])


def write(rows: list[dict[str, object]]) -> None:
    Path("labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def train(magistrate: Terminal, *more: str) -> tuple[int, str, str]:
    arguments = ["train", "screen", "-p", "colours.md", "--data", "labels.jsonl", "--out", "screen", "--kind", "static"]
    done = magistrate(*arguments, *more)
    return done.status, done.out, done.err


def test_a_screen_is_trained_then_judges_and_takes_a_batch(magistrate: Terminal) -> None:
    status, out, err = train(magistrate)
    assert status == 0, err
    assert "use it with --model screen" in out
    assert magistrate("judge", "--model", "screen", "-p", "colours.md", "a red lamp").status == 1
    assert magistrate("judge", "--model", "screen", "-p", "colours.md", "a blue lamp").status == 0
    done = magistrate("batch", "labels.jsonl", "--model", "screen", "-p", "colours.md", "--out", "out.jsonl", "--quiet")
    assert done.status == 0, done.err
    rows = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 90
    assert sum(row["violation"] == (n % 3 == 0) for n, row in enumerate(rows)) >= 88
    again = magistrate("batch", "labels.jsonl", "--model", "screen", "-p", "colours.md", "--out", "out.jsonl")
    assert "already complete" in again.err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": f"t{n}", "violation": True} for n in range(60)], "none is allowed"),
        ([{"text": f"t{n}", "violation": n < 5} for n in range(10)], "label 5 more that are a violation"),
        ([], "holds no case"),
        ([{"text": "same", "violation": n % 2 == 0} for n in range(60)], "both labels"),
    ],
)
def test_data_that_is_no_good_is_refused(magistrate: Terminal, rows: list[dict[str, object]], said: str) -> None:
    write(rows)
    status, _, err = train(magistrate)
    assert status == 64
    assert said in err
    assert "hint:" in err


def test_it_takes_one_source(magistrate: Terminal) -> None:
    status, _, err = train(magistrate, "--log", "labels.jsonl")
    assert (status, "exactly one" in err) == (64, True)


def test_a_file_of_lists_judges(magistrate: Terminal) -> None:
    done = magistrate("judge", "--model", "lists.toml", "-p", "colours.md", "a crimson lamp")
    assert (done.status, "S1" in done.out) == (1, True)
    assert magistrate("judge", "--model", "lists.toml", "-p", "colours.md", "a blue lamp").status == 2
