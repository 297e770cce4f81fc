"""What fits where: real machines as tables, and properties that hold for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.models.fit import (
    OVERHEAD_BYTES,
    Fit,
    Load,
    Place,
    cache_bytes,
    fit_of,
    fits_of,
    recommended,
    size_of,
)
from magistrate.models.hardware import GB, MIB, Gpu, Machine, known_gpus, parse_gpu_argument, parse_sysctl, with_speeds
from magistrate.models.profile import Engine
from magistrate.models.registry import profile_named, profiles

SMALL, LARGE = profile_named("20b"), profile_named("120b")
LOAD = Load()


def machine(gpus: str = "none", memory_gb: float = 64) -> Machine:
    size = int(memory_gb * GB)
    return Machine(gpus=parse_gpu_argument(gpus), memory_bytes=size, available_bytes=size, memory_bandwidth=20e9)


def on(where: Machine, name: str, engine: Engine, load: Load = LOAD) -> Fit:
    profile = profile_named(name)
    return fit_of(where, profile, profile.weights_for(engine)[0], engine, load)


@pytest.mark.parametrize(
    ("gpus", "memory_gb", "name", "engine", "place", "shared", "replicas"),
    [
        ("H100:8", 1000, "20b", Engine.VLLM, Place.GPU, 1, 8),
        ("H100:8", 1000, "120b", Engine.VLLM, Place.GPU, 1, 8),
        ("A100", 500, "120b", Engine.VLLM, Place.GPU, 1, 1),
        ("A100 40GB:2", 500, "120b", Engine.VLLM, Place.GPU, 2, 1),
        ("L40S:4", 500, "120b", Engine.VLLM, Place.GPU, 2, 2),
        ("L4", 64, "20b", Engine.VLLM, Place.GPU, 1, 1),
        ("L4", 16, "120b", Engine.VLLM, Place.NOWHERE, 0, 1),
        ("RTX 4090", 64, "20b", Engine.VLLM, Place.GPU, 1, 1),
        ("RTX 4090", 64, "120b", Engine.LLAMACPP, Place.SPLIT, 1, 1),
        ("3090:2", 64, "20b", Engine.VLLM, Place.GPU, 1, 2),
        ("3090:3", 64, "120b", Engine.VLLM, Place.NOWHERE, 0, 1),
        ("3090:4", 64, "120b", Engine.VLLM, Place.GPU, 4, 1),
        ("3090:3", 64, "120b", Engine.LLAMACPP, Place.GPU, 3, 1),
        ("T4", 64, "20b", Engine.LLAMACPP, Place.GPU, 1, 1),
        ("m2 max 64GB", 64, "20b", Engine.LLAMACPP, Place.GPU, 1, 1),
        ("m2 max 64GB", 64, "20b", Engine.VLLM, Place.NOWHERE, 0, 1),
        ("none", 24, "20b", Engine.LLAMACPP, Place.CPU, 0, 1),
        ("none", 24, "20b", Engine.TRANSFORMERS, Place.NOWHERE, 0, 1),
        ("none", 64, "20b", Engine.TRANSFORMERS, Place.CPU, 0, 1),
        ("none", 8, "20b", Engine.LLAMACPP, Place.NOWHERE, 0, 1),
        ("none", 64, "20b", Engine.VLLM, Place.NOWHERE, 0, 1),
    ],
)
def test_what_fits_where(
    gpus: str, memory_gb: float, name: str, engine: Engine, place: Place, shared: int, replicas: int
) -> None:
    found = on(machine(gpus, memory_gb), name, engine)
    assert (found.place, found.gpus, found.replicas) == (place, shared, replicas)


def test_the_cache_is_that_of_published_guides() -> None:
    # llama.cpp's guide to gpt-oss: 0.2 and 0.3 GB for 8,192 tokens of one request.
    alone = Load(context_tokens=8192, concurrency=1)
    assert cache_bytes(SMALL, alone) / GB == pytest.approx(0.2, abs=0.02)
    assert cache_bytes(LARGE, alone) / GB == pytest.approx(0.3, abs=0.02)
    # GitLab's guide to gpt-oss-120b: about 36 KB a token.
    longer = Load(context_tokens=8193, concurrency=1)
    assert cache_bytes(LARGE, longer) - cache_bytes(LARGE, alone) == 36 * 1024


def test_a_window_bounds_the_cache_of_its_layers() -> None:
    short, at, beyond = (cache_bytes(SMALL, Load(context_tokens=n, concurrency=1)) for n in (64, 128, 129))
    assert at == 2 * short
    assert beyond - at == 12 * 2048  # only the full layers go on growing


@given(
    gpus=st.lists(st.sampled_from(known_gpus()), max_size=8),
    memory_gb=st.integers(1, 2000),
    context=st.integers(256, 131_072),
    concurrency=st.integers(1, 64),
    profile=st.sampled_from([profile for profile in profiles() if profile.weights]),
)
def test_what_fits_has_room_and_a_lesser_load_fits_too(
    gpus: list[str], memory_gb: int, context: int, concurrency: int, profile: object
) -> None:
    where = machine(",".join(gpus) or "none", memory_gb)
    chosen = next(known for known in profiles() if known == profile)
    for found in fits_of(where, chosen, Load(context_tokens=context, concurrency=concurrency)):
        assert found.fits == (not found.why)
        if not found.fits:
            continue
        assert 0 < found.needed_bytes <= found.room_bytes
        assert (found.place is Place.GPU) <= (1 <= found.gpus * found.replicas <= len(gpus))
        size = size_of(chosen, found.weights)
        assert size is not None
        assert found.needed_bytes >= size[0] + OVERHEAD_BYTES[found.engine]
        less = fit_of(where, chosen, found.weights, found.engine, Load(context_tokens=256, concurrency=1))
        assert less.fits
        assert less.needed_bytes <= found.needed_bytes


def test_a_context_that_the_model_was_not_made_for_does_not_fit() -> None:
    (found, _) = fits_of(machine("H100"), profile_named("shieldgemma-2b"), Load(context_tokens=8193))
    assert not found.fits
    assert "8,192" in found.why


def test_memory_that_others_hold_is_not_counted() -> None:
    gpu = with_speeds(Gpu(name="NVIDIA L4", memory_bytes=24 * GB, free_bytes=6 * GB))
    held = Machine(gpus=(gpu,), memory_bytes=8 * GB, available_bytes=8 * GB)
    assert not on(held, "20b", Engine.VLLM).fits
    assert not on(held, "20b", Engine.LLAMACPP).fits


def test_gpus_of_two_kinds_are_not_mixed() -> None:
    where = machine("L4,T4", 8)
    found = on(where, "20b", Engine.VLLM)
    assert (found.gpu, found.gpus) == ("L4", 1)
    assert not on(machine("L4,RTX 4090", 8), "120b", Engine.VLLM).fits


def test_a_mac_is_read_and_fitted() -> None:
    mac = parse_sysctl(f"machdep.cpu.brand_string: Apple M2 Max\nhw.memsize: {65536 * MIB}\nhw.ncpu: 12\n")
    assert mac is not None
    best = fits_of(mac, SMALL, LOAD)[0]
    assert (best.engine, best.place) == (Engine.LLAMACPP, Place.GPU)
    assert not any(found.fits for found in fits_of(mac, LARGE, LOAD))


@pytest.mark.parametrize(
    ("gpus", "memory_gb", "name", "engine"),
    [
        ("H100:8", 1000, "gpt-oss-safeguard-20b", Engine.VLLM),
        ("m2 max 64GB", 64, "gpt-oss-safeguard-20b", Engine.LLAMACPP),
        ("none", 24, "gpt-oss-safeguard-20b", Engine.LLAMACPP),
        ("RTX 3060", 12, "shieldgemma-2b", Engine.VLLM),
        ("none", 12, "shieldgemma-2b", Engine.TRANSFORMERS),
    ],
)
def test_the_first_that_fits_a_gpu_is_recommended_else_the_first_that_fits(
    gpus: str, memory_gb: float, name: str, engine: Engine
) -> None:
    load = Load(context_tokens=4096, concurrency=4)
    best = recommended([fits_of(machine(gpus, memory_gb), p, load)[0] for p in profiles() if p.weights])
    assert best is not None
    assert (best.profile.name, best.engine) == (name, engine)


def test_nothing_is_recommended_that_cannot_judge() -> None:
    fits = fits_of(machine("H100"), profile_named("qwen3guard"), LOAD)
    assert fits[0].fits
    assert recommended(fits) is None


def test_the_size_of_an_unpacked_or_unknown_form_is_worked_out() -> None:
    mxfp4, gguf = SMALL.weights
    assert size_of(SMALL, mxfp4, unpacked=True) == (41_800_000_000, True)
    assert size_of(SMALL, gguf, unpacked=True) == (11_624_759_232, False)
    assert size_of(LARGE, LARGE.weights[0]) == (65_284_000_000, False)
    cope = profile_named("cope")
    assert size_of(cope, cope.weights[0]) == (50_400_000_000, True)
