"""What of the vLLM engine shows without vLLM; tests/engines has the rest."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from magistrate.backends.engine import EngineError
from magistrate.backends.vllm import VllmEngine
from magistrate.errors import BackendError, MissingExtraError


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"magistrate\[vllm\]"):
        VllmEngine(tmp_path).load()


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vLLM: make engines")
def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no weights at"):
        VllmEngine(tmp_path / "nothing").load()


def test_it_is_called_like_its_source(tmp_path: Path) -> None:
    assert VllmEngine(tmp_path).model == tmp_path.name
    assert VllmEngine("openai/gpt-oss-safeguard-20b").model == "openai/gpt-oss-safeguard-20b"
    assert VllmEngine(tmp_path, name="judge").model == "judge"


def test_its_context_is_what_it_was_given_until_it_is_loaded(tmp_path: Path) -> None:
    assert VllmEngine(tmp_path).capabilities.context_tokens is None
    assert VllmEngine(tmp_path, context_tokens=900).capabilities.context_tokens == 900


def test_nothing_is_answered_before_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not loaded"):
        VllmEngine(tmp_path).generate([])
