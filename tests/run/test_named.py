"""What a name for a model means, in which order, and what is said where it means nothing."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from magistrate.config import Config, InProcess, ModelConfig, read_config, served_folder
from magistrate.errors import ConfigError, MissingExtraError, UsageError
from magistrate.models.profile import Engine
from magistrate.models.serve.running import Served, announced
from magistrate.run.models import batch_shape, classifier_for
from magistrate.run.named import dialect_of, reasoner_named


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No servers of the machine that the tests run on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAGISTRATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("MAGISTRATE_LMSTUDIO", "127.0.0.1:9")


def served(**more: object) -> Served:
    values: dict[str, object] = {
        "name": "gpt-oss-safeguard-20b",
        "profile": "gpt-oss-safeguard-20b",
        "url": "http://127.0.0.1:8123/v1",
        "engine": Engine.VLLM,
        "dialect": "safeguard.rationale.v1",
        "pid": os.getpid(),
        "started": datetime(2026, 1, 1, tzinfo=UTC),
        "log": "x.log",
    }
    return Served.model_validate({**values, **more})


def test_a_served_model_is_found_by_any_of_its_names() -> None:
    with announced(served(api_key_env="MY_KEY"), served_folder()):
        for name in ("20b", "gpt-oss-safeguard-20b", "safeguard-20b"):
            found = reasoner_named(name, Config())
            assert found is not None
            assert (found.url, found.model) == ("http://127.0.0.1:8123/v1", "gpt-oss-safeguard-20b")
            assert found.api_key_env == "MY_KEY"
        assert classifier_for("20b", Config()).name
        assert batch_shape("20b", Config()) == (1, 16)
    assert reasoner_named("20b", Config()) is None


def test_the_settings_go_before_what_is_served() -> None:
    own = ModelConfig(url="http://127.0.0.1:1/v1")
    with announced(served(), served_folder()):
        assert reasoner_named("20b", Config(models={"20b": own})) == own


def test_a_known_model_that_is_not_served_is_an_error_with_the_next_step() -> None:
    with pytest.raises(UsageError, match="gpt-oss-safeguard-20b is not served on this machine") as raised:
        classifier_for("20b", Config())
    assert "magistrate model serve 20b" in (raised.value.hint or "")
    assert "llamacpp:FILE.gguf" in (raised.value.hint or "")


@pytest.mark.parametrize("engine", list(InProcess))
def test_weights_are_named_with_their_engine(engine: InProcess) -> None:
    found = reasoner_named(f"{engine.value}:some/where", Config())
    assert found == ModelConfig(engine=engine, weights="some/where")
    assert reasoner_named(f"{engine.value}:", Config()) is None


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_engine: InProcess) -> bool:
        return False

    monkeypatch.setattr("magistrate.run.engines.is_installed", nowhere)
    with pytest.raises(MissingExtraError) as raised:
        classifier_for("vllm:not-there", Config())
    assert raised.value.extra == "vllm"


def test_in_process_a_batch_is_asked_together() -> None:
    assert batch_shape("vllm:some/where", Config()) == (64, 1)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('url = "http://a/v1"\nengine = "vllm"\nweights = "x"', "give one of the two"),
        ('url = "http://a/v1"\nweights = "x"', "give one of the two"),
        ('model = "x"', "say where the model is"),
        ('weights = "x"', "say where the model is"),
        ('engine = "vllm"', "needs weights"),
        ('engine = "ollama"\nweights = "x"', "vllm"),
    ],
)
def test_settings_that_say_two_places_or_none_are_refused(tmp_path: Path, table: str, said: str) -> None:
    path = tmp_path / "magistrate.toml"
    path.write_text(f"[models.mine]\n{table}\n")
    with pytest.raises(ConfigError, match=said) as raised:
        read_config(path)
    assert "Value error" not in str(raised.value)


def test_gpt_oss_in_process_is_asked_in_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "some-model"
    folder.mkdir()
    own = ModelConfig(engine=InProcess.VLLM, weights=str(folder))
    assert dialect_of(own) == "safeguard.rationale.v1"
    (folder / "config.json").write_text('{"model_type": "gpt_oss"}')
    assert dialect_of(own) == "harmony.rationale.v1"
    assert dialect_of(own.model_copy(update={"dialect": "harmony.binary.v1"})) == "harmony.binary.v1"
    assert dialect_of(ModelConfig(engine=InProcess.VLLM, weights="openai/gpt-oss-safeguard-20b")).startswith("harmony")
    assert dialect_of(ModelConfig(url="http://127.0.0.1:1/v1")) == "safeguard.rationale.v1"
