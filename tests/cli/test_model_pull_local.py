"""`magistrate model pull` of what is here already: a file, a folder, a cache, or nothing."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.models.hub_mirror import hub_mirror

from magistrate.models.pull.cache import local_weights
from magistrate.models.registry import profile_named


def gguf(architecture: bytes, version: int = 3) -> bytes:
    key = b"general.architecture"
    pair = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(architecture)) + architecture
    return b"GGUF" + struct.pack("<IQQ", version, 0, 1) + pair


def test_a_file_that_the_user_has_is_taken_and_found_again(magistrate: Terminal, tmp_path: Path) -> None:
    mine = tmp_path / "my weights.gguf"
    mine.write_bytes(gguf(b"gpt-oss"))
    done = magistrate("model", "pull", "20b", "--from", str(mine))
    assert (done.status, done.out.strip()) == (0, str(mine))
    assert f"magistrate model serve 20b --weights '{mine}'" in done.err
    profile = profile_named("20b")
    form = next(weights for weights in profile.weights if weights.file is not None)
    assert local_weights(profile, form, cache=tmp_path / "none") == mine
    mine.unlink()
    assert local_weights(profile, form, cache=tmp_path / "none") is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (gguf(b"llama"), "'llama'"),
        (gguf(b"gpt-oss", version=1), "does not say what model"),
        (b"PK\x03\x04 not weights", "does not say what model"),
        (gguf(b"gpt-oss")[:-3], "does not say what model"),
    ],
)
def test_a_file_of_another_kind_is_refused(magistrate: Terminal, tmp_path: Path, data: bytes, says: str) -> None:
    mine = tmp_path / "m.gguf"
    mine.write_bytes(data)
    done = magistrate("model", "pull", "20b", "--from", str(mine))
    assert done.status == 64
    assert says in done.err
    assert not (tmp_path / "home" / "weights.json").exists()


def test_a_folder_without_its_weights_is_refused(magistrate: Terminal, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt_oss"}')
    done = magistrate("model", "pull", "20b", "--from", str(tmp_path))
    assert done.status == 64
    assert "model.safetensors, tokenizer.json" in done.err


@pytest.mark.parametrize("by_variable", [True, False])
def test_offline_says_where_it_looked(
    magistrate: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_variable: bool
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    if by_variable:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = magistrate("model", "pull", "20b", *([] if by_variable else ["--offline"]))
    assert done.status != 0
    assert str(tmp_path / "hf" / "hub") in done.err


def test_a_form_that_is_not_published_is_refused_with_those_that_are(magistrate: Terminal) -> None:
    done = magistrate("model", "pull", "20b", "--quantisation", "Q1_X")
    assert done.status == 64
    assert "known: MXFP4" in done.err


def test_a_mirror_is_asked_by_its_variable_and_then_no_network_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, magistrate: Terminal
) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    weights = profile_named("20b").weights[0]
    header = b'{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    files = {
        "config.json": b'{"model_type": "gpt_oss"}',
        "tokenizer.json": b"{}",
        "model.safetensors": struct.pack("<Q", len(header)) + header + b"abcd",
        "original/model.safetensors": b"x" * 2_000,
    }
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with hub_mirror(weights.repo, files) as mirror:
        # huggingface_hub reads its variables once, at import: a process of its own.
        done = subprocess.run(
            [sys.executable, "-m", "magistrate", "model", "pull", "20b"],
            env={**os.environ, "HF_ENDPOINT": mirror.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    place = Path(done.stdout.strip())
    assert {path.name for path in place.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    assert magistrate("model", "pull", "20b", "--offline").out.strip() == str(place)
