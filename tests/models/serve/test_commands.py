from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.errors import UsageError
from magistrate.models.registry import profile_named
from magistrate.models.serve.commands import Launch, Program, ProgramKind, Serving, launch

VLLM = Program(ProgramKind.VLLM, ("vllm",))
LLAMA = Program(ProgramKind.LLAMA_SERVER, ("llama-server",))
PYTHON = Program(ProgramKind.LLAMA_CPP_PYTHON, ("python", "-m", "llama_cpp.server"))
ALL = (VLLM, LLAMA, PYTHON)


def after(found: Launch, option: str) -> str:
    return found.argv[found.argv.index(option) + 1]


def test_gpt_oss_by_vllm_gets_the_flags_of_its_profile() -> None:
    profile = profile_named("120b")
    serving = Serving(name=profile.name, weights="openai/x", profile=profile, tensor_parallel=4, data_parallel=2)
    found = launch(serving, VLLM)
    assert found.argv[:3] == ("vllm", "serve", "openai/x")
    assert after(found, "--reasoning-parser") == "openai_gptoss"
    assert "--enable-prefix-caching" in found.argv
    assert after(found, "--tensor-parallel-size") == "4"
    assert after(found, "--data-parallel-size") == "2"
    assert after(found, "--max-model-len") == "16384"


def test_a_model_that_is_not_known_is_read_as_it_says_itself() -> None:
    found = launch(Serving(name="mine", weights="w"), VLLM)
    assert "--max-model-len" not in found.argv
    assert "--reasoning-parser" not in found.argv
    assert "--enable-prefix-caching" in found.argv
    assert after(launch(Serving(name="mine", weights="w"), LLAMA), "-c") == "0"
    assert after(launch(Serving(name="mine", weights="w"), PYTHON), "--n_ctx") == "0"


def test_no_engine_writes_requests_into_its_log_or_shows_them() -> None:
    vllm = launch(Serving(name="mine", weights="w"), VLLM)
    assert "--no-enable-log-requests" in vllm.argv
    assert "VLLM_DEBUG_LOG_API_SERVER_RESPONSE" in vllm.without
    assert vllm.environment["VLLM_NO_USAGE_STATS"] == "1"
    assert "--no-slots" in launch(Serving(name="mine", weights="w"), LLAMA).argv
    assert after(launch(Serving(name="mine", weights="w"), PYTHON), "--verbose") == "false"


def test_variables_that_would_win_over_the_command_line_are_not_inherited() -> None:
    assert {"HOST", "PORT", "CONFIG_FILE"} <= set(launch(Serving(name="mine", weights="w"), PYTHON).without)
    assert "LLAMA_ARG_HOST" in launch(Serving(name="mine", weights="w"), LLAMA).without


@pytest.mark.parametrize("program", [LLAMA, PYTHON])
@pytest.mark.parametrize("option", [{"tensor_parallel": 2}, {"data_parallel": 2}, {"dtype": "half"}])
def test_what_an_engine_does_not_take_is_refused(program: Program, option: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="parallelism"):
        launch(Serving(name="m", weights="w", **option), program)  # type: ignore[arg-type]  # one of several fields


def test_the_hub_is_not_asked_for_weights_that_are_here(tmp_path: Path) -> None:
    assert launch(Serving(name="m", weights=str(tmp_path)), VLLM).environment["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in launch(Serving(name="m", weights="openai/gpt-oss-20b"), VLLM).environment


words = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=30)


@given(st.sampled_from(ALL), words, st.integers(1, 65535), st.integers(1, 10**6), st.lists(words, max_size=3))
def test_every_word_reaches_the_engine_as_one_word(
    program: Program, name: str, port: int, context: int, flags: list[str]
) -> None:
    serving = Serving(name=name, weights="w", port=port, context_tokens=context, flags=tuple(flags))
    found = launch(serving, program)
    assert name in found.argv
    assert str(port) in found.argv
    assert str(context) in found.argv
    assert found.argv[len(found.argv) - len(flags) :] == tuple(flags)
    assert found.argv[found.argv.index("--host") + 1] == "127.0.0.1"


@given(st.sampled_from(ALL))
def test_no_key_is_ever_in_the_command(program: Program) -> None:
    found = launch(Serving(name="m", weights="w", api_key_env="MY_KEY"), program)
    assert "MY_KEY" not in found.shown()
    assert "key" not in found.shown()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/v1"),
        ("0.0.0.0", "http://127.0.0.1:8000/v1"),
        ("::", "http://[::1]:8000/v1"),
        ("::1", "http://[::1]:8000/v1"),
        ("gpu.example", "http://gpu.example:8000/v1"),
    ],
)
def test_the_address_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert Serving(name="m", weights="w", host=host).url == url
