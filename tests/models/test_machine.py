"""This machine, and tools that answer as they do on others: real programs on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from magistrate.models.machine import this_machine, weights_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tools are shell scripts, memory is read in /proc")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole path: no tool of this machine is found."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    tool.chmod(0o755)


def test_a_machine_without_tools_has_no_gpu_and_nothing_to_note(tools: Path) -> None:
    machine = this_machine()
    assert machine.gpus == ()
    assert 0 < machine.available_bytes <= machine.memory_bytes
    assert machine.cores is not None
    assert machine.cores >= 1
    assert machine.disk_free_bytes is not None
    assert machine.memory_bandwidth is None or 1e8 < machine.memory_bandwidth < 1e12
    assert not any("smi" in note for note in machine.notes)


def test_gpus_of_two_makers_are_read(tools: Path) -> None:
    install(tools, "nvidia-smi", "echo 'NVIDIA L4, 23034, 22563'; echo 'NVIDIA L4, 23034, 22563'")
    install(
        tools, "rocm-smi", """echo '{"card0": {"Card Series": "MI300X", "VRAM Total Memory (B)": "206141652992"}}'"""
    )
    machine = this_machine()
    assert [gpu.name for gpu in machine.gpus] == ["NVIDIA L4", "NVIDIA L4", "MI300X"]


def test_the_query_is_the_one_that_the_reader_reads(tools: Path) -> None:
    install(
        tools,
        "nvidia-smi",
        """case "$*" in *memory.total,memory.free*nounits*) echo 'NVIDIA T4, 15360, 15000';; esac""",
    )
    assert [gpu.name for gpu in this_machine().gpus] == ["NVIDIA T4"]


def test_a_gpu_that_shares_the_memory_is_given_the_machines(tools: Path) -> None:
    install(tools, "nvidia-smi", "echo 'NVIDIA GB10, [N/A], [N/A]'")
    machine = this_machine()
    assert machine.gpus[0].memory_bytes == machine.available_bytes


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'NVIDIA-SMI has failed because of the driver' >&2; exit 9", "status 9): NVIDIA-SMI has failed"),
        ("exit 3", "status 3): no message"),
        ("echo 'No devices were found'", "names no GPU"),
        ("printf '\\377\\376'", "names no GPU"),
    ],
)
def test_a_tool_that_fails_is_noted(tools: Path, script: str, told: str) -> None:
    install(tools, "nvidia-smi", script)
    machine = this_machine()
    assert machine.gpus == ()
    assert any(note.startswith("nvidia-smi") and told in note for note in machine.notes)


def test_a_tool_that_cannot_be_run_is_noted(tools: Path) -> None:
    (tools / "nvidia-smi").write_bytes(b"\x00 not a program")
    (tools / "nvidia-smi").chmod(0o755)
    assert any("does not run" in note for note in this_machine().notes)


def test_weights_are_kept_where_the_hub_keeps_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "there"))
    assert weights_folder() == tmp_path / "there"
