"""What a machine has, read from the output of the tools that tell. All pure: `machine` runs the tools."""

from __future__ import annotations

import csv
import difflib
import functools
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from magistrate.errors import UsageError

GB = 1_000_000_000
MIB = 1 << 20
MOST_GPUS = 1024
_LONGEST_NUMBER = 20
"""Digits: what a 64-bit count takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One graphics processor."""

    name: str
    memory_bytes: int
    free_bytes: int | None = None
    """None where it is not known, as for a machine that is only asked about."""
    bandwidth: float | None = None
    """Of its memory, in bytes a second; None for one that is not in the table."""
    flops: float | None = None
    """Dense 16-bit operations a second; None where it is not known."""
    unified: bool = False
    """Shares the machine's memory."""
    maker: str = "nvidia"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a model could run on."""

    gpus: tuple[Gpu, ...] = ()
    memory_bytes: int
    """That the process may use: the machine's, or the limit of its container."""
    available_bytes: int
    """Of it, what is free now; equal to it for a machine that is only asked about."""
    memory_bandwidth: float | None = None
    """Bytes a second that one core copies, read and written; None where it was not measured."""
    cores: int | None = None
    processor: str = ""
    instructions: tuple[str, ...] = ()
    """Of those that engines use: avx2, avx512f, amx_tile, neon and so on."""
    disk_free_bytes: int | None = None
    """Where weights are kept."""
    notes: tuple[str, ...] = ()
    """What could not be read, and why."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    memory_gb: float = Field(gt=0)
    bandwidth_gbs: float = Field(gt=0)
    tflops: float | None = Field(default=None, gt=0)
    unified: bool = False


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: tuple[_Entry, ...]


@functools.cache
def _table() -> tuple[_Entry, ...]:
    text = resources.files("magistrate.models").joinpath("gpus.toml").read_text(encoding="utf-8")
    return _Table.model_validate(tomllib.loads(text)).gpus


def known_gpus() -> tuple[str, ...]:
    """Names of the table."""
    return tuple(entry.name for entry in _table())


def with_speeds(gpu: Gpu) -> Gpu:
    """Add what the table knows of it."""
    entry = _entry(gpu.name)
    if entry is None:
        return gpu
    return replace(
        gpu,
        bandwidth=entry.bandwidth_gbs * GB,
        flops=None if entry.tflops is None else entry.tflops * 1e12,
        unified=gpu.unified or entry.unified,
    )


def _entry(name: str) -> _Entry | None:
    plain = _plain(name)
    for entry in _table():
        if ("laptop" in plain) != ("laptop" in _plain(entry.name)):
            continue  # sold under the same name, and much slower
        if re.search(rf"(?<![a-z0-9]){re.escape(_plain(entry.name))}(?![0-9])", plain):
            return entry
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


NVIDIA_QUERY = ("--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """Read `nvidia-smi` with `NVIDIA_QUERY`: a line a GPU, MiB.

    A GPU that shares the machine's memory reports none of its own ("[N/A]"): it gets 0 bytes here, and the machine's
    in `machine`. Lines that are of another form, such as a message, are passed over.
    """
    found: list[Gpu] = []
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) != 3 or not row[0].strip():
            continue
        name, total, free = (field.strip() for field in row)
        gpu = with_speeds(Gpu(name=name, memory_bytes=0))
        if total.isdecimal():
            free_bytes = int(free) * MIB if free.isdecimal() else None
            found.append(replace(gpu, memory_bytes=int(total) * MIB, free_bytes=free_bytes))
        elif gpu.unified:
            found.append(gpu)
    return tuple(found)


ROCM_QUERY = ("--showproductname", "--showmeminfo", "vram", "--json")


def parse_rocm_smi(text: str) -> tuple[Gpu, ...]:
    """Read `rocm-smi` with `ROCM_QUERY`: an object with a card each; anything else holds none."""
    try:
        cards = TypeAdapter(dict[str, dict[str, JsonValue]]).validate_json(text)
    except ValidationError:
        return ()
    found: list[Gpu] = []
    for card in cards.values():
        total = _number(card.get("VRAM Total Memory (B)"))
        if total is None:
            continue
        name = next((str(card[key]) for key in ("Card Series", "Card series", "Card Model") if key in card), "AMD GPU")
        used = _number(card.get("VRAM Total Used Memory (B)"))
        gpu = Gpu(name=name, memory_bytes=total, free_bytes=None if used is None else max(0, total - used), maker="amd")
        found.append(with_speeds(gpu))
    return tuple(found)


def _number(value: JsonValue) -> int | None:
    """A count as these tools write it, in digits or as a number; None for anything else."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER else None


SYSCTL_NAMES = ("machdep.cpu.brand_string", "hw.memsize", "hw.ncpu", "iogpu.wired_limit_mb")


def parse_sysctl(text: str) -> Machine | None:
    """Read `sysctl` with `SYSCTL_NAMES` on a Mac; None where it is none, or one without Apple's processor.

    Metal lets a GPU use about two thirds of a small machine's memory and three quarters of a large one's
    (recommendedMaxWorkingSetSize: reported as 10.5 of 16 GB and 48 of 64 GB), unless the owner sets the limit. What
    is free is not among the names: a tenth is set aside for the system.
    """
    found: list[tuple[str, str]] = re.findall(r"^([\w.]+):[ \t]*(.*?)\s*$", text, re.MULTILINE)
    fields = dict(found)
    memory = _number(fields.get("hw.memsize"))
    chip = fields.get("machdep.cpu.brand_string", "")
    if memory is None or not chip.startswith("Apple"):
        return None
    set_limit = _number(fields.get("iogpu.wired_limit_mb")) or 0
    share = 2 / 3 if memory <= 36 * 1024 * MIB else 3 / 4
    gpu = Gpu(name=chip, memory_bytes=set_limit * MIB or int(memory * share), unified=True, maker="apple")
    return Machine(
        gpus=(with_speeds(gpu),),
        memory_bytes=memory,
        available_bytes=memory * 9 // 10,
        cores=_number(fields.get("hw.ncpu")),
        processor=chip,
        instructions=("neon",),
    )


def parse_meminfo(text: str) -> tuple[int, int] | None:
    """Read `/proc/meminfo`: total and available bytes; None where it does not say."""
    found: list[tuple[str, str]] = re.findall(r"^(\w+):\s*(\d+) kB$", text, re.MULTILINE)
    fields = dict(found)
    if "MemTotal" not in fields:
        return None
    total = int(fields["MemTotal"]) * 1024
    return total, min(total, int(fields.get("MemAvailable", fields["MemTotal"])) * 1024)


def parse_cgroup(limit: str, used: str) -> tuple[int, int] | None:
    """Read the memory limit of a container and what it uses, version 1 or 2; None where there is none ("max")."""
    most = _number(limit.strip())
    if most is None or most >= 1 << 60:  # version 1 writes a huge number for "no limit"
        return None
    return most, max(0, most - (_number(used.strip()) or 0))


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Read `/proc/cpuinfo`: the processor's name, and those of its instruction sets that engines use."""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    has = set(flags[1].split()) if flags else set[str]()
    return (name[1].strip() if name else ""), tuple(_USED[flag] for flag in _USED if flag in has)


_USED = {
    "avx2": "avx2",
    "f16c": "f16c",
    "avx512f": "avx512f",
    "avx512_bf16": "avx512_bf16",
    "avx512_vnni": "avx512_vnni",
    "amx_tile": "amx_tile",
    "asimd": "neon",
    "sve": "sve",
    "i8mm": "i8mm",
}


def parse_gpu_argument(text: str) -> tuple[Gpu, ...]:
    """Read what a user says of another machine: `H100:8`, `RTX 4090`, `2x L4`, `A100:2,T4`, `none`.

    Raises:
        UsageError: a GPU that is not in the table, or a number that is none.
    """
    if text.strip().casefold() in ("none", "no", "cpu", ""):
        return ()
    found = tuple(gpu for part in text.split(",") for gpu in _some(part.strip()))
    if len(found) > MOST_GPUS:
        raise UsageError(f"{len(found):,} GPUs are more than the {MOST_GPUS:,} that can be asked about at once")
    return found


def _some(part: str) -> Iterable[Gpu]:
    # `2x L4` and `2 x L4`, but not `7900 XT`.
    match = re.fullmatch(r"(?:(\d{1,3})(?:\s*[x×*]\s+|[x×*]))?([^:]+?)(?:\s*:\s*(\d{1,6}))?", part, re.IGNORECASE)
    if match is None or not part:
        raise UsageError(f"cannot read the GPU {part[:80]!r}", hint="write a name and a number: H100:8")
    count = int(match[1] or match[3] or 1)
    if count < 1 or (match[1] and match[3]):
        raise UsageError(f"cannot read the number of GPUs in {part[:80]!r}", hint="write it once: H100:8")
    entry = _entry(match[2]) or _entry_of_words(match[2])
    if entry is None:
        near = _near(match[2])
        meant = f"did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
        raise UsageError(
            f"no GPU {match[2][:80]!r} in the table", hint=f"{meant}known: {', '.join(known_gpus())}; or `none`"
        )
    size = re.search(r"(?<![\w])(\d{2,3}) ?GB?\b", match[2], re.IGNORECASE)
    memory_gb = float(size[1]) if size else entry.memory_gb
    memory = int(memory_gb * GB * (_APPLE_SHARE if entry.name.startswith("Apple") else 1))
    gpu = with_speeds(Gpu(name=entry.name, memory_bytes=memory, unified=entry.unified, maker=_maker(entry.name)))
    return [gpu] * min(count, MOST_GPUS + 1)


_APPLE_SHARE = 0.75
_SIZE_WORD = re.compile(r"\d{2,3}gb?", re.IGNORECASE)


def _entry_of_words(name: str) -> _Entry | None:
    """The one whose name has all of these words but for a size: `3090`, `m2 max 64GB`. The shortest of several."""
    words = {word for word in _plain(name).split() if not _SIZE_WORD.fullmatch(word)}
    found = [entry for entry in _table() if words and words <= set(_plain(entry.name).split())]
    return min(found, key=lambda entry: len(entry.name), default=None)


def _maker(name: str) -> str:
    if name.startswith("Apple"):
        return "apple"
    return "amd" if name.startswith(("MI", "7900")) else "nvidia"


def _near(name: str) -> list[str]:
    """Names that share a word or a number with it, or are spelled alike."""
    plain = {_plain(known): known for known in known_gpus()}
    spelled = [plain[hit] for hit in difflib.get_close_matches(_plain(name), plain, n=2, cutoff=0.6)]
    number = re.search(r"\d{2,4}", name)
    same_number = [known for known in known_gpus() if number and number[0] in known]
    return list(dict.fromkeys([*spelled, *same_number]))[:3]


def parse_size(text: str) -> int:
    """Read an amount of memory: `64`, `64GB`, `512 MB`, `24GiB`.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"\s*(\d{1,7}(?:\.\d{1,3})?)\s*(|[kmgt]i?b?)\s*", text, re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"cannot read the amount of memory {text[:80]!r}", hint="write it in gigabytes: 64GB")
    unit = match[2].casefold() or "gb"
    power = "kmgt".index(unit[0]) + 1
    return int(float(match[1]) * (1024 if "i" in unit else 1000) ** power)
