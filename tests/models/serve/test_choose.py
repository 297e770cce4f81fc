from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from magistrate.config import InProcess
from magistrate.errors import BackendError, UsageError
from magistrate.models.hardware import Gpu, Machine, parse_gpu_argument
from magistrate.models.profile import Engine
from magistrate.models.registry import profile_named
from magistrate.models.serve.choose import check_memory, check_weights, choose_program, preferred_engine
from magistrate.models.serve.commands import ProgramKind
from magistrate.models.serve.programs import find_program, program_for
from magistrate.run.engines import source_of


def an_executable(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def both(tmp_path: Path) -> dict[str, str]:
    """A PATH with two engines."""
    an_executable(tmp_path / "vllm")
    an_executable(tmp_path / "llama-server")
    return {"PATH": str(tmp_path)}


def test_the_engine_follows_from_the_weights(both: dict[str, str]) -> None:
    assert choose_program(None, None, both)[0] is Engine.VLLM
    assert choose_program(None, "folder", both)[0] is Engine.VLLM
    assert choose_program(None, "x/Model.GGUF", both)[0] is Engine.LLAMACPP
    assert choose_program(Engine.LLAMACPP, None, both)[1].kind is ProgramKind.LLAMA_SERVER


def test_vllm_reads_a_gguf_file_where_it_is_the_only_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    an_executable(tmp_path / "vllm")
    monkeypatch.setattr("magistrate.models.serve.programs._SERVER_PACKAGES", ("no_such_package",))
    assert choose_program(None, "m.gguf", {"PATH": str(tmp_path)})[0] is Engine.VLLM


def test_an_engine_in_another_environment_is_named_by_a_variable(tmp_path: Path) -> None:
    vllm = an_executable(tmp_path / "my-vllm")
    assert program_for(Engine.VLLM, {"MAGISTRATE_VLLM": str(vllm), "PATH": ""}).argv == (str(vllm),)
    python = find_program(Engine.LLAMACPP, {"MAGISTRATE_LLAMACPP": sys.executable})
    assert python is not None
    assert python.kind is ProgramKind.LLAMA_CPP_PYTHON
    assert python.argv == (sys.executable, "-m", "llama_cpp.server")


def test_a_variable_that_names_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="MAGISTRATE_VLLM names"):
        program_for(Engine.VLLM, {"MAGISTRATE_VLLM": str(tmp_path / "none")})


def test_an_engine_that_is_not_installed_is_said(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="'vllm' is not installed") as raised:
        program_for(Engine.VLLM, {"PATH": str(tmp_path)})
    assert "pip install vllm" in (raised.value.hint or "")


def test_weights_that_are_here_are_given_by_their_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    with pytest.raises(BackendError, match=r"holds no config\.json"):
        check_weights(Engine.VLLM, "model", None)
    (tmp_path / "model" / "config.json").write_text("{}")
    assert check_weights(Engine.VLLM, "model", None) == str(tmp_path / "model")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert check_weights(Engine.LLAMACPP, "m.gguf", None) == str(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("engine", "weights", "said"),
    [
        (Engine.LLAMACPP, "model", "not a GGUF file"),
        (Engine.LLAMACPP, "none.gguf", "not a GGUF file"),
        (Engine.VLLM, "/no/where", "no weights at"),
        (Engine.VLLM, "../../etc/x", "no weights at"),
        (Engine.LLAMACPP, None, "needs weights"),
    ],
)
def test_weights_that_cannot_be_read_are_said(engine: Engine, weights: str | None, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        check_weights(engine, weights, None)


def test_vllm_fetches_a_known_model_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("MAGISTRATE_HOME", str(tmp_path / "home"))
    assert check_weights(Engine.VLLM, None, profile_named("20b")) == "openai/gpt-oss-safeguard-20b"
    assert check_weights(Engine.VLLM, "someone/some-model", None) == "someone/some-model"


def pulled(cache: Path) -> Path:
    """A folder in the form of huggingface_hub's cache that holds the 20b, as far as its files tell."""
    repo = cache / "models--openai--gpt-oss-safeguard-20b"
    snapshot = repo / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    (snapshot / "config.json").write_text('{"model_type": "gpt_oss"}')
    (snapshot / "tokenizer.json").write_text("{}")
    header = b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    (snapshot / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return snapshot


def test_pulled_weights_are_found_by_the_name_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("MAGISTRATE_HOME", str(tmp_path / "home"))
    with pytest.raises(BackendError, match="not on this machine") as raised:
        source_of(InProcess.VLLM, "20b")
    assert "magistrate model pull 20b" in (raised.value.hint or "")
    snapshot = pulled(tmp_path)
    assert check_weights(Engine.VLLM, None, profile_named("20b")) == str(snapshot)
    assert source_of(InProcess.TRANSFORMERS, "20b") == str(snapshot)
    (snapshot / "model.safetensors").write_bytes(b"cut short")
    assert check_weights(Engine.VLLM, None, profile_named("20b")) == "openai/gpt-oss-safeguard-20b"


def test_the_engine_follows_from_the_machine_and_from_what_was_pulled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("MAGISTRATE_HOME", str(tmp_path / "home"))
    plain = Machine(memory_bytes=32 * 10**9, available_bytes=32 * 10**9)
    assert preferred_engine(profile_named("20b"), plain) is Engine.LLAMACPP
    assert preferred_engine(profile_named("20b"), replace(plain, gpus=parse_gpu_argument("H100"))) is Engine.VLLM
    pulled(tmp_path)
    assert preferred_engine(profile_named("20b"), plain) is Engine.VLLM
    assert choose_program(None, None, {"PATH": "", "MAGISTRATE_LLAMACPP": sys.executable}, first=Engine.LLAMACPP)[
        0
    ] is (Engine.LLAMACPP)


def test_weights_larger_than_all_memory_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(3_000_000)
    small = Machine(memory_bytes=2_000_000, available_bytes=2_000_000)
    with pytest.raises(UsageError, match=r"takes 0\.0 GB"):
        check_memory(str(tmp_path), small)
    gpu = Gpu(name="x", memory_bytes=1_000_000)
    check_memory(str(tmp_path), Machine(memory_bytes=2_000_000, available_bytes=2_000_000, gpus=(gpu,)))
    check_memory("openai/gpt-oss-20b", small)  # not here: its size is not known
