"""This machine, as its tools and its kernel describe it. What cannot be read is a note, not an error."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from magistrate.models.hardware import (
    NVIDIA_QUERY,
    ROCM_QUERY,
    SYSCTL_NAMES,
    Gpu,
    Machine,
    parse_cgroup,
    parse_cpuinfo,
    parse_meminfo,
    parse_nvidia_smi,
    parse_rocm_smi,
    parse_sysctl,
)

TOOL_LIMIT_S = 20.0
"""nvidia-smi takes seconds where the driver is not kept loaded."""
_COPIED_BYTES = 128 << 20
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def this_machine() -> Machine:
    """Read this machine; takes up to seconds where a GPU's driver is slow to answer."""
    notes: list[str] = []
    mac = _mac(notes) if platform.system() == "Darwin" else None
    if mac is not None:
        return replace(mac, disk_free_bytes=_disk_free(weights_folder()), notes=tuple(notes))
    total, available = _memory(notes)
    processor, instructions = parse_cpuinfo(_text("/proc/cpuinfo"))
    return Machine(
        gpus=_gpus(notes, available),
        memory_bytes=total,
        available_bytes=available,
        memory_bandwidth=_copied_per_second() if available > 8 * _COPIED_BYTES else None,
        cores=_cores(),
        processor=processor or platform.processor(),
        instructions=instructions,
        disk_free_bytes=_disk_free(weights_folder()),
        notes=tuple(notes),
    )


def weights_folder() -> Path:
    """Where the Hugging Face libraries keep weights: `HF_HUB_CACHE`, or `hub` in `HF_HOME`."""
    cache = os.environ.get("HF_HUB_CACHE")
    if cache:
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME")
    root = Path(home).expanduser() if home else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return root.expanduser() / "hub"


def _mac(notes: list[str]) -> Machine | None:
    read = _output("sysctl", SYSCTL_NAMES, notes)
    return None if read is None else parse_sysctl(read)


def _gpus(notes: list[str], available: int) -> tuple[Gpu, ...]:
    tools: list[tuple[str, Sequence[str], Callable[[str], tuple[Gpu, ...]]]] = [
        ("nvidia-smi", NVIDIA_QUERY, parse_nvidia_smi),
        ("rocm-smi", ROCM_QUERY, parse_rocm_smi),
    ]
    found: list[Gpu] = []
    for tool, arguments, parse in tools:
        text = _output(tool, arguments, notes)
        if text is None:
            continue
        gpus = parse(text)
        if not gpus:
            notes.append(f"{tool} names no GPU")
        found.extend(replace(gpu, memory_bytes=available) if gpu.memory_bytes == 0 else gpu for gpu in gpus)
    return tuple(found)


def _output(tool: str, arguments: Sequence[str], notes: list[str]) -> str | None:
    """What a tool prints; None where it is not there, or fails, which is noted."""
    path = shutil.which(tool)
    if path is None:
        return None
    try:
        done = subprocess.run(  # a fixed tool of the system with fixed arguments
            [path, *arguments], capture_output=True, timeout=TOOL_LIMIT_S, check=False, text=True, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        notes.append(f"{tool} is there and does not run: {type(error).__name__}")
        return None
    if done.returncode != 0 and tool != "sysctl":  # sysctl fails for one unknown name, and prints the others
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        notes.append(f"{tool} is there and fails (status {done.returncode}): {said[0][:120] if said else 'no message'}")
        return None
    return done.stdout


def _memory(notes: list[str]) -> tuple[int, int]:
    """Total and available, within the limit of the container."""
    read = parse_meminfo(_text("/proc/meminfo"))
    if read is None:
        read = _posix_memory()
    if read is None:
        notes.append("the amount of memory could not be read: give it with --memory")
        return 0, 0
    total, available = read
    for limit, used in _CGROUPS:
        inside = parse_cgroup(_text(limit), _text(used))
        if inside is not None and inside[0] < total:
            notes.append(f"the container may use {inside[0] / 1e9:,.1f} of {total / 1e9:,.1f} GB of memory")
            return inside[0], min(available, inside[1])
    return total, available


def _posix_memory() -> tuple[int, int] | None:
    if not hasattr(os, "sysconf"):
        return None
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
    return total, total


def _cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _copied_per_second() -> float:
    """Bytes a second that one core reads and writes in copying; the best of three."""
    source = bytearray(_COPIED_BYTES)
    target = bytearray(_COPIED_BYTES)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        target[:] = source
        best = min(best, time.perf_counter() - start)
    return 2 * _COPIED_BYTES / best


def _disk_free(folder: Path) -> int | None:
    """Of the nearest folder that is there already."""
    for place in (folder, *folder.parents):
        if place.is_dir():
            try:
                return shutil.disk_usage(place).free
            except OSError:
                return None
    return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
