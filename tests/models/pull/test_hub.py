"""The library that asks the hub: there, of a version that we know, or said to be otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.hub_mirror import hub_mirror
from tests.models.tiny_weights import folder_files

from magistrate.errors import WeightsError
from magistrate.models.profile import Engine, Weights
from magistrate.models.pull.hub import require_huggingface_hub
from magistrate.models.pull.pull import Watching, Wish, pull

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs the extra hub")

WEIGHTS = Weights(quantisation="BF16", repo="owner/tiny", engines=(Engine.VLLM,))


def installed(site: Path, version: str) -> str:
    """A folder in which the library's metadata says that version."""
    folder = site / "huggingface_hub-0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: huggingface_hub\nVersion: {version}\n")
    return str(site)


@pytest.mark.parametrize("version", ["0.9.1", "0.29.3", "0.17.0rc1"])
def test_an_old_library_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path, version))
    with pytest.raises(WeightsError, match=rf"huggingface_hub {version} is too old: 0\.30 is needed\n.*pip install"):
        pull(Wish(weights=WEIGHTS, cache=tmp_path))


@pytest.mark.parametrize("version", ["0.30.0", "0.36", "1.0.0", "2.4.0", "10.0", "unknown"])
def test_others_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path, version))
    require_huggingface_hub()


@pytest.mark.parametrize("name", ["build_hf_headers"])
def test_a_library_without_what_is_needed_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(f"huggingface_hub.utils._headers.{name}")
    with pytest.raises(WeightsError, match=rf"not one that is supported: .*{name}"):
        require_huggingface_hub()


def test_no_server_is_asked_for_a_while_and_each_wait_is_said(tmp_path: Path) -> None:
    with hub_mirror("owner/tiny", folder_files(100)) as gone:
        address = gone.url
    said: list[str] = []
    slept: list[float] = []
    with pytest.raises(WeightsError, match="cannot reach the hub for owner/tiny"):
        pull(Wish(weights=WEIGHTS, endpoint=address, cache=tmp_path), Watching(said=said.append, sleep=slept.append))
    assert slept == [1, 2, 4, 8]
    assert len(said) == 4
    assert "trying again in 2 s" in said[1]
