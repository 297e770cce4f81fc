"""`magistrate model list | show | fit`, typed as users type them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.terminal import Terminal, answering

from magistrate.cli.model import ModelCommands
from magistrate.models.registry import profiles


def test_the_list_has_every_model_and_what_to_type_next(magistrate: Terminal) -> None:
    done = magistrate("model", "list")
    assert done.status == 0
    assert all(profile.name in done.out for profile in profiles())
    assert "magistrate model fit" in done.out


def test_the_list_is_given_as_json(magistrate: Terminal) -> None:
    rows = magistrate("model", "list", "--json").rows()
    assert [row["name"] for row in rows] == [profile.name for profile in profiles()]
    assert rows[0]["efforts"] == ["low", "medium", "high"]


@pytest.mark.parametrize("width", ["80", "120"])
def test_nothing_of_the_list_is_cut_off(magistrate: Terminal, monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    out = magistrate("model", "list").out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= int(width)


def test_one_model_is_shown_with_its_weights_flags_and_sources(magistrate: Terminal) -> None:
    out = magistrate("model", "show", "20b").out
    for told in (
        "openai/gpt-oss-safeguard-20b",
        "gpt-oss-safeguard-20b-Q4_K_M.gguf",
        "in Ollama: gpt-oss-safeguard:20b",
        "--reasoning-parser openai_gptoss",
        "131,072 tokens",
        "https://arxiv.org/abs/2508.10925",
        "magistrate model pull 20b",
    ):
        assert told in out


def test_a_model_without_a_dialect_says_that_it_cannot_judge(magistrate: Terminal) -> None:
    out = magistrate("model", "show", "qwen3guard").out
    assert "cannot judge" in out
    assert "model pull" not in out


@pytest.mark.parametrize("name", [profile.name for profile in profiles()])
def test_every_model_can_be_shown(magistrate: Terminal, name: str) -> None:
    assert magistrate("model", "show", name).status == 0
    assert magistrate("model", "show", name, "--json").rows()[0]["name"] == name


def test_a_newcomers_slip_is_answered_with_what_was_meant(magistrate: Terminal) -> None:
    done = magistrate("model", "show", "20")
    assert done.status == 64
    assert "did you mean 'gpt-oss-safeguard-20b'" in done.err


def test_this_machine_is_read(magistrate: Terminal) -> None:
    done = magistrate("model", "fit", "--json")
    assert done.status == 0
    (row,) = done.rows()
    machine = row["machine"]
    assert isinstance(machine, dict)
    assert machine["memory_bytes"] > 0


def test_another_machine_can_be_asked_about(magistrate: Terminal) -> None:
    out = magistrate("model", "fit", "--gpu", "H100:8", "--memory", "1000").out
    assert "8 x H100 (80.0 GB) · 1,000.0 GB memory" in out
    assert "Recommended: gpt-oss-safeguard-20b, MXFP4 with vllm on 8 x 1 GPU" in out
    assert "Estimate for one request" in out
    assert "19,128 tokens/s for many at once" in out, "what was published"
    assert out.endswith("magistrate model pull 20b\nmagistrate model serve 20b\n")


def test_a_slow_machine_is_warned_of(magistrate: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = magistrate("model", "fit", "20b", "--gpu", "none", "--memory", "24", "--json").rows()
    fits = row["fits"]
    assert isinstance(fits, list)
    assert fits[0]["place"] == "cpu"
    assert fits[0]["estimated_decode_per_s"] is None, "the speed of memory that is not here is not known"
    out = magistrate("model", "fit", "20b", "--gpu", "none").out
    assert "Slow: " in out or "None of these can judge here" in out


def test_a_machine_that_is_too_small_is_told_what_else_there_is(magistrate: Terminal) -> None:
    done = magistrate("model", "fit", "--gpu", "none", "--memory", "8")
    assert done.status == 0
    assert "None of these can judge here" in done.out
    assert "model pull" not in done.out


def test_a_model_that_fits_and_cannot_judge_is_not_recommended(magistrate: Terminal) -> None:
    out = magistrate("model", "fit", "qwen3guard", "--gpu", "H100", "--memory", "100").out
    assert "no dialect that gives it a policy" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--gpu", "foo"), "no GPU 'foo' in the table"),
        (("--gpu", "H10"), "did you mean 'H100'"),
        (("--memory", "lots"), "write it in gigabytes: 64GB"),
        (("--context", "5"), "--context"),
        (("nonsense",), "no model 'nonsense'"),
    ],
)
def test_what_cannot_be_asked_says_what_can(magistrate: Terminal, arguments: tuple[str, ...], told: str) -> None:
    done = magistrate("model", "fit", *arguments)
    assert done.status == 64
    assert told in done.err


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_keeps_to_the_terminal(magistrate: Terminal, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for gpus, memory in (("H100:8", "1000"), ("3090:2", "64"), ("none", "24")):
        out = magistrate("model", "fit", "--gpu", gpus, "--memory", memory).out
        assert "…" not in out
        assert max(map(len, out.splitlines())) <= width


@pytest.mark.parametrize("name", ModelCommands.table)
def test_every_subcommand_of_the_table_is_there_and_helps(magistrate: Terminal, name: str) -> None:
    assert ModelCommands.table[name][1].endswith(".")
    done = magistrate("model", name, "--help")
    assert done.status == 0
    assert done.out.startswith(f"Usage: magistrate model {name}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("judge", "--policy", "mine.md", "--model", "there", "hello"),
        ("batch", "posts.jsonl", "--policy", "mine.md", "--model", "there", "--out", "verdicts.jsonl"),
        ("test", "mine.md", "--model", "there"),
    ],
)
def test_a_policy_that_does_not_fit_stops_a_command_before_the_first_call(
    magistrate: Terminal, arguments: tuple[str, ...]
) -> None:
    asked: list[str] = []

    def answer(content: str) -> str:
        asked.append(content)
        return "0"

    Path("mine.md").write_text("# Spam\n\n## Violates\n\n- S1: " + "sells followers " * 400, encoding="utf-8")
    rows = '{"id": "1", "text": "hello", "violation": false}\n{"id": "2", "text": "buy now", "violation": true}\n'
    Path("posts.jsonl").write_text(rows, encoding="utf-8")
    Path("mine.golden.jsonl").write_text(rows, encoding="utf-8")
    with answering(answer) as url:
        settings = f'[models.there]\nurl = "{url}"\nmodel = "guard"\ncontext_tokens = 600\n'
        Path("magistrate.toml").write_text(settings, encoding="utf-8")
        done = magistrate(*arguments)
    assert done.status == 64
    assert "policy 'mine' does not fit" in done.err
    assert "the context of this server (as the settings say) is 600" in done.err
    assert asked == []
