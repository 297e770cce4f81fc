"""Which models a machine can run, on what of it, and with which engine.

    needed = weights + key-value cache + overhead
    cache of one request = 2 (keys and values) x 2 bytes x heads x head size
                           x (full layers x context + window layers x min(window, context))

The cache is counted for every request in full. Engines that share the policy's part need less: the sum errs on the
safe side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from magistrate.models.hardware import Gpu, Machine
from magistrate.models.profile import Engine, Profile, Weights
from magistrate.models.speed import UNKNOWN_SPEED, Speed, estimated

CACHE_BYTES = 2
"""An element of the key-value cache at 16 bits, the default of all three engines."""
SHAPELESS_CACHE = 131_072
"""Bytes a token where a model's shape is not known: that of Llama 3.1 8B."""
VLLM_SHARE = 0.9
"""Of a GPU's memory that vLLM takes: the default of --gpu-memory-utilization, which is 0.92 since some versions."""
OVERHEAD_BYTES = {Engine.VLLM: 2_000_000_000, Engine.TRANSFORMERS: 1_000_000_000, Engine.LLAMACPP: 1_000_000_000}
"""A GPU, or the machine. vLLM's is from GitLab's guide to gpt-oss-120b; the other two are a guess on the high side."""
TENSOR_PARALLEL = (1, 2, 4, 8)
BITS = {"BF16": 16, "F16": 16, "FP8": 8}
"""A parameter, where a form's size is not given."""


class Place(StrEnum):
    """What of a machine holds a model."""

    GPU = "gpu"
    CPU = "cpu"
    SPLIT = "split"
    """Partly in a GPU's memory and partly in the machine's: slower than either share suggests."""
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of a model."""

    context_tokens: int = 8192
    """Longest prompt and answer together."""
    concurrency: int = 8
    """Requests under way at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Whether a form of a model fits, and on what."""

    profile: Profile
    weights: Weights
    engine: Engine
    place: Place
    needed_bytes: int
    """Of one replica, over all of its GPUs."""
    room_bytes: int
    """What there is for it; for `NOWHERE` the most that could be brought together."""
    estimated_size: bool
    """Whether the size of the weights was estimated from their parameters."""
    gpus: int = 0
    """That share the weights of one replica."""
    replicas: int = 1
    gpu: str = ""
    speed: Speed = UNKNOWN_SPEED
    why: str = ""
    """For `NOWHERE`: what there is, where that is too little, or what else stands against it."""

    @property
    def fits(self) -> bool:
        """Whether it runs at all."""
        return self.place is not Place.NOWHERE


def cache_bytes(profile: Profile, load: Load) -> int:
    """The key-value cache of all requests under way."""
    context = load.context_tokens
    shape = profile.shape
    if shape is None:
        return load.concurrency * context * SHAPELESS_CACHE
    per_layer = 2 * CACHE_BYTES * shape.kv_heads * shape.head_dim
    tokens = shape.full_layers * context + shape.window_layers * min(shape.window, context)
    return load.concurrency * per_layer * tokens


def size_of(profile: Profile, weights: Weights, *, unpacked: bool = False) -> tuple[int, bool] | None:
    """Bytes of the weights as loaded, and whether they were estimated; None where nothing says.

    Args:
        profile: The model.
        weights: Its form.
        unpacked: MXFP4 is turned into 16 bits, as Transformers does where it lacks Triton or kernels for it.
    """
    if unpacked and weights.quantisation == "MXFP4" and profile.parameters is not None:
        return 2 * profile.parameters, True
    if weights.size_bytes is not None:
        return weights.size_bytes, False
    bits = BITS.get(weights.quantisation)
    if bits is None or profile.parameters is None:
        return None
    return profile.parameters * bits // 8, True


def fits_of(machine: Machine, profile: Profile, load: Load) -> tuple[Fit, ...]:
    """Try every form of a model with every engine that reads it, the best first."""
    context = profile.context_tokens
    tried = [
        _too_long(profile, weights, engine, load)
        if context is not None and load.context_tokens > context
        else fit_of(machine, profile, weights, engine, load)
        for weights, engine in _forms(profile)
    ]
    return tuple(sorted(tried, key=_rank))


def recommended(fits: Sequence[Fit]) -> Fit | None:
    """The one to begin with: of models that can be asked, one on a GPU before the others, then in the given order."""
    usable = [fit for fit in fits if fit.fits and fit.profile.dialect is not None]
    return min(usable, key=lambda fit: _PLACES.index(fit.place), default=None)


def fit_of(machine: Machine, profile: Profile, weights: Weights, engine: Engine, load: Load) -> Fit:
    """Whether one form fits with one engine."""
    cache = cache_bytes(profile, load)
    for gpus in _groups(machine):
        found = _on_gpus(gpus, profile, weights, engine, cache)
        if found is not None:
            return found
    if engine is not Engine.VLLM:
        found = _with_memory(machine, profile, weights, engine, cache)
        if found is not None:
            return found
    return _nowhere(machine, profile, weights, engine, cache)


_PLACES = (Place.GPU, Place.CPU, Place.SPLIT, Place.NOWHERE)
_ENGINES = (Engine.VLLM, Engine.LLAMACPP, Engine.TRANSFORMERS)


def _rank(fit: Fit) -> tuple[int, int, int]:
    # Of those that do not fit, the one that lacks least says most.
    lacking = 0 if fit.fits else fit.needed_bytes - fit.room_bytes
    return _PLACES.index(fit.place), lacking, _ENGINES.index(fit.engine)


def _forms(profile: Profile) -> Iterator[tuple[Weights, Engine]]:
    for weights in profile.weights:
        for engine in weights.engines:
            if engine in OVERHEAD_BYTES:
                yield weights, engine


def _groups(machine: Machine) -> list[tuple[Gpu, ...]]:
    """GPUs of one kind each, the largest group first: engines share weights among equals."""
    kinds = sorted(machine.gpus, key=lambda gpu: (gpu.name, gpu.memory_bytes))
    groups = [tuple(same) for _, same in itertools.groupby(kinds, key=lambda gpu: (gpu.name, gpu.memory_bytes))]
    return sorted(groups, key=lambda same: -sum(gpu.memory_bytes for gpu in same))


def _room(gpu: Gpu, engine: Engine) -> int:
    free = gpu.memory_bytes if gpu.free_bytes is None else gpu.free_bytes
    return min(int(VLLM_SHARE * gpu.memory_bytes), free) if engine is Engine.VLLM else free


def _on_gpus(gpus: tuple[Gpu, ...], profile: Profile, weights: Weights, engine: Engine, cache: int) -> Fit | None:
    """The fewest GPUs of a kind that hold it; None where all do not."""
    first = gpus[0]
    size = size_of(profile, weights, unpacked=engine is Engine.TRANSFORMERS and first.maker != "nvidia")
    if size is None or (engine is Engine.VLLM and first.maker == "apple"):
        return None
    room = min(_room(gpu, engine) for gpu in gpus)
    for count in _counts(len(gpus), profile, engine):
        needed = size[0] + cache + count * OVERHEAD_BYTES[engine]
        if needed > count * room:
            continue
        return Fit(
            profile=profile,
            weights=weights,
            engine=engine,
            place=Place.GPU,
            needed_bytes=needed,
            room_bytes=count * room,
            estimated_size=size[1],
            gpus=count,
            replicas=len(gpus) // count if engine is Engine.VLLM else 1,
            gpu=first.name,
            speed=_gpu_speed(first, count, profile, weights, engine, size[0]),
        )
    return None


def _counts(most: int, profile: Profile, engine: Engine) -> list[int]:
    """How many GPUs may share the weights: vLLM splits the heads evenly, the others place whole layers."""
    if engine is not Engine.VLLM:
        return list(range(1, most + 1))
    heads = None if profile.shape is None else profile.shape.kv_heads
    return [count for count in TENSOR_PARALLEL if count <= most and (heads is None or heads % count == 0)]


def _gpu_speed(gpu: Gpu, count: int, profile: Profile, weights: Weights, engine: Engine, size: int) -> Speed:
    # Tensor parallelism reads all shares at once; whole layers are read one GPU after the other.
    at_once = count if engine is Engine.VLLM else 1
    bandwidth = None if gpu.bandwidth is None else at_once * gpu.bandwidth
    flops = None if gpu.flops is None else at_once * gpu.flops
    return estimated(profile, weights, bandwidth=bandwidth, flops=flops, size_bytes=size)


def _with_memory(machine: Machine, profile: Profile, weights: Weights, engine: Engine, cache: int) -> Fit | None:
    """In the machine's memory, alone or together with its GPUs; None where it does not fit either."""
    size = size_of(profile, weights, unpacked=engine is Engine.TRANSFORMERS)
    if size is None:
        return None
    needed = size[0] + cache + OVERHEAD_BYTES[engine]
    outside = [gpu for gpu in machine.gpus if not gpu.unified] if engine is Engine.LLAMACPP else []
    together = machine.available_bytes + sum(_room(gpu, engine) for gpu in outside)
    if needed > together:
        return None
    alone = needed <= machine.available_bytes and not outside
    return Fit(
        profile=profile,
        weights=weights,
        engine=engine,
        place=Place.CPU if alone else Place.SPLIT,
        needed_bytes=needed,
        room_bytes=together,
        estimated_size=size[1],
        gpus=0 if alone else len(outside),
        gpu="" if alone else outside[0].name,
        speed=estimated(profile, weights, bandwidth=machine.memory_bandwidth, flops=None, size_bytes=size[0]),
    )


def _nowhere(machine: Machine, profile: Profile, weights: Weights, engine: Engine, cache: int) -> Fit:
    on_gpu = engine is Engine.VLLM and any(gpu.maker != "apple" for gpu in machine.gpus)
    unpacked = engine is Engine.TRANSFORMERS and not any(gpu.maker == "nvidia" for gpu in machine.gpus)
    size = size_of(profile, weights, unpacked=unpacked)
    needed = 0 if size is None else size[0] + cache + OVERHEAD_BYTES[engine]
    rooms = [sum(_room(gpu, engine) for gpu in group) for group in _groups(machine)]
    room = max([*rooms, 0 if engine is Engine.VLLM else machine.available_bytes], default=0)
    if size is None:
        why = "the size of its weights is not known"
    elif engine is Engine.VLLM and not on_gpu:
        why, room = "no GPU for it", 0
    else:
        why = f"{room / 1e9:,.1f} GB"
    return Fit(
        profile=profile,
        weights=weights,
        engine=engine,
        place=Place.NOWHERE,
        needed_bytes=needed,
        room_bytes=room,
        estimated_size=size is not None and size[1],
        why=why,
    )


def _too_long(profile: Profile, weights: Weights, engine: Engine, load: Load) -> Fit:
    return Fit(
        profile=profile,
        weights=weights,
        engine=engine,
        place=Place.NOWHERE,
        needed_bytes=0,
        room_bytes=0,
        estimated_size=False,
        why=f"its context is {profile.context_tokens:,}",
    )
