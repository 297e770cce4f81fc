"""What the tools print, as they print it on real machines, and what of it is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.errors import UsageError
from magistrate.models.hardware import (
    MIB,
    Gpu,
    known_gpus,
    parse_cgroup,
    parse_cpuinfo,
    parse_gpu_argument,
    parse_meminfo,
    parse_nvidia_smi,
    parse_rocm_smi,
    parse_size,
    parse_sysctl,
)

GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("printed", "count", "name", "memory_mib", "bandwidth_gbs"),
    [
        ("NVIDIA H100 80GB HBM3, 81559, 81004\n" * 8, 8, "NVIDIA H100 80GB HBM3", 81559, 3350),
        ("NVIDIA H100 PCIe, 81559, 81004\n", 1, "NVIDIA H100 PCIe", 81559, 2000),
        ("NVIDIA A100-SXM4-80GB, 81920, 81038\n", 1, "NVIDIA A100-SXM4-80GB", 81920, 2039),
        ("NVIDIA A100-SXM4-40GB, 40960, 40437\n", 1, "NVIDIA A100-SXM4-40GB", 40960, 1555),
        ("NVIDIA L4, 23034, 22563\n", 1, "NVIDIA L4", 23034, 300),
        ("NVIDIA L40S, 46068, 45000\n", 1, "NVIDIA L40S", 46068, 864),
        ("NVIDIA GeForce RTX 4090, 24564, 23010\n", 1, "NVIDIA GeForce RTX 4090", 24564, 1008),
        ("NVIDIA GeForce RTX 4090 Laptop GPU, 16376, 15000\n", 1, "NVIDIA GeForce RTX 4090 Laptop GPU", 16376, 576),
        ("NVIDIA GeForce RTX 3090, 24576, 24000\n" * 2, 2, "NVIDIA GeForce RTX 3090", 24576, 936),
    ],
)
def test_nvidia_smi_is_read(printed: str, count: int, name: str, memory_mib: int, bandwidth_gbs: int) -> None:
    gpus = parse_nvidia_smi(printed)
    assert len(gpus) == count
    first = gpus[0]
    assert (first.name, first.memory_bytes, first.bandwidth) == (name, memory_mib * MIB, bandwidth_gbs * 1e9)
    assert first.free_bytes is not None
    assert 0 < first.free_bytes < first.memory_bytes


def test_a_gpu_that_is_not_in_the_table_has_no_speed() -> None:
    (gpu,) = parse_nvidia_smi("NVIDIA H1000 Whatever, 1000, 900\n")
    assert gpu == Gpu(name="NVIDIA H1000 Whatever", memory_bytes=1000 * MIB, free_bytes=900 * MIB)


def test_a_gpu_that_shares_the_memory_reports_none_of_its_own() -> None:
    (gpu,) = parse_nvidia_smi("NVIDIA GB10, [N/A], [N/A]\n")
    assert (gpu.memory_bytes, gpu.unified, gpu.bandwidth) == (0, True, 273e9)


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "No devices were found\n",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        "Failed to initialize NVML: Driver/library version mismatch\n",
        "NVIDIA T4, [Not Supported], [Not Supported]\n",
        "a,b\nc,d,e,f\n, 100, 100\n",
        "NVIDIA T4, -5, 3\n",
        '"unclosed, 3, 4',
        "NVIDIA T4, ١٢٣x, 1",
    ],
)
def test_what_nvidia_smi_says_in_place_of_gpus_is_none(printed: str) -> None:
    assert parse_nvidia_smi(printed) == ()


@given(st.text(max_size=200))
def test_no_output_of_a_tool_breaks_its_reader(text: str) -> None:
    parse_nvidia_smi(text)
    parse_rocm_smi(text)
    parse_sysctl(text)
    parse_meminfo(text)
    parse_cgroup(text, text)
    parse_cpuinfo(text)


def test_rocm_smi_is_read() -> None:
    printed = json.dumps(
        {
            "card0": {
                "Card Series": "AMD Instinct MI300X OAM",
                "VRAM Total Memory (B)": "206141652992",
                "VRAM Total Used Memory (B)": "297361408",
            },
            "card1": {"Card series": "Radeon RX 7900 XTX", "VRAM Total Memory (B)": "25753026560"},
            "system": {"Driver version": "6.7"},
        }
    )
    first, second = parse_rocm_smi(printed)
    assert (first.maker, first.memory_bytes, first.bandwidth) == ("amd", 206141652992, 5300e9)
    assert first.free_bytes == 206141652992 - 297361408
    assert (second.bandwidth, second.free_bytes) == (960e9, None)


@pytest.mark.parametrize("printed", ["", "[]", "{", '{"card0": 3}', '{"card0": {"VRAM Total Memory (B)": "lots"}}'])
def test_other_output_of_rocm_smi_holds_no_gpu(printed: str) -> None:
    assert parse_rocm_smi(printed) == ()


M2_MAX = "machdep.cpu.brand_string: Apple M2 Max\nhw.memsize: 68719476736\nhw.ncpu: 12\niogpu.wired_limit_mb: {}\n"


@pytest.mark.parametrize(("limit", "usable_mib"), [("0", 49152), ("57344", 57344)])
def test_a_mac_lends_its_gpu_a_share_of_its_memory(limit: str, usable_mib: int) -> None:
    machine = parse_sysctl(M2_MAX.format(limit))
    assert machine is not None
    (gpu,) = machine.gpus
    assert (gpu.name, gpu.maker, gpu.unified) == ("Apple M2 Max", "apple", True)
    assert gpu.memory_bytes == usable_mib * MIB
    assert gpu.bandwidth == 400e9
    assert (machine.memory_bytes, machine.cores) == (64 * GIB, 12)


def test_a_small_mac_lends_less() -> None:
    machine = parse_sysctl("machdep.cpu.brand_string: Apple M2\nhw.memsize: 17179869184\nhw.ncpu: 8\n")
    assert machine is not None
    assert machine.gpus[0].memory_bytes == pytest.approx(10.67 * GIB, rel=0.01)
    assert machine.gpus[0].bandwidth == 100e9


@pytest.mark.parametrize(
    "printed", ["", "hw.memsize: 1\n", "machdep.cpu.brand_string: Intel(R) Core(TM) i9\nhw.memsize: 34359738368\n"]
)
def test_a_mac_without_apples_processor_has_no_gpu_to_use(printed: str) -> None:
    assert parse_sysctl(printed) is None


def test_meminfo_is_read() -> None:
    text = "MemTotal:       24684084 kB\nMemFree:  100 kB\nMemAvailable:   23565540 kB\n"
    assert parse_meminfo(text) == (24684084 * 1024, 23565540 * 1024)
    assert parse_meminfo("MemTotal: 8 kB\n") == (8192, 8192)
    assert parse_meminfo("MemFree: 8 kB\n") is None


@pytest.mark.parametrize(
    ("limit", "used", "read"),
    [
        ("max\n", "100\n", None),
        ("", "", None),
        ("9223372036854771712\n", "100\n", None),
        ("8589934592\n", "1073741824\n", (8 * GIB, 7 * GIB)),
        ("1000\n", "2000\n", (1000, 0)),
        ("1000\n", "what", (1000, 1000)),
    ],
)
def test_the_limit_of_a_container_is_read(limit: str, used: str, read: tuple[int, int] | None) -> None:
    assert parse_cgroup(limit, used) == read


def test_instruction_sets_are_read() -> None:
    intel = "processor : 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse2 avx2 f16c avx512f avx512_bf16 hypervisor\n"
    assert parse_cpuinfo(intel) == ("AMD EPYC", ("avx2", "f16c", "avx512f", "avx512_bf16"))
    assert parse_cpuinfo("Features\t: fp asimd sve i8mm\n") == ("", ("neon", "sve", "i8mm"))


@pytest.mark.parametrize(
    ("typed", "names", "memory_gb"),
    [
        ("H100:8", ["H100"] * 8, 80),
        ("8 x H100", ["H100"] * 8, 80),
        ("2x7900 XTX", ["7900 XTX"] * 2, 24),
        ("8xH100", ["H100"] * 8, 80),
        ("rtx 4090", ["RTX 4090"], 24),
        ("3090:2", ["RTX 3090"] * 2, 24),
        ("L4", ["L4"], 24),
        ("A100 40GB", ["A100"], 40),
        ("m2 max 64GB", ["Apple M2 Max"], 48),
        ("A100:2,T4", ["A100", "A100", "T4"], 80),
        ("none", [], 0),
        ("", [], 0),
    ],
)
def test_gpus_are_read_as_users_write_them(typed: str, names: list[str], memory_gb: int) -> None:
    gpus = parse_gpu_argument(typed)
    assert [gpu.name for gpu in gpus] == names
    assert not gpus or gpus[0].memory_bytes == memory_gb * 10**9
    assert all(gpu.bandwidth for gpu in gpus)


@pytest.mark.parametrize("name", known_gpus())
def test_every_gpu_of_the_table_is_found_by_its_name(name: str) -> None:
    (gpu,) = parse_gpu_argument(name)
    assert gpu.name == name


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("foo", "known: "),
        ("H10", "did you mean 'H100'"),
        ("H100:0", "H100:8"),
        ("2xH100:2", "write it once"),
        ("H100:many", "write a name"),
        ("H100:99999", "1,024"),
        (",", "write a name"),
        (":4", "write a name"),
    ],
)
def test_a_gpu_that_cannot_be_read_says_how_to_write_it(typed: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_gpu_argument(typed)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "size"),
    [("64", 64e9), ("64GB", 64e9), (" 512 MB ", 512e6), ("24GiB", 24 * GIB), ("1.5tb", 1.5e12), ("16g", 16e9)],
)
def test_sizes_are_read(typed: str, size: float) -> None:
    assert parse_size(typed) == size


@pytest.mark.parametrize("typed", ["", "lots", "-3GB", "0", "64 PB", "1e9", "9" * 30])
def test_what_is_no_size_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        parse_size(typed)
