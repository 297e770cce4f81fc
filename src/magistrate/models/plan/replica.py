"""How quickly one replica of a reasoner writes, by how many answers it writes at once.

A step writes one token for each request under way. It reads the active weights, for several requests those of more
experts, and every request's cache; and it computes two operations a parameter and token. The slower of the two counts:

    read(n) = active + (all - active) x (1 - (1 - active / all)^(n - 1)) + n x cache
    step(n) = max(read(n) / (0.55 x bandwidth), n x 2 x active parameters / (0.2 x operations a second))

The two shares are those of `models.speed`. For gpt-oss-safeguard-20b on an H100 the formula gives 0.31 s for an answer
of 150 tokens alone; published is a median of 0.349 s (Musubi, per item). With 256 at once it gives some 20,000 tokens a
second; published are 19,128, prompts included (gpustack). Neither figure was fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass

from magistrate.errors import UsageError
from magistrate.models.fit import OVERHEAD_BYTES, VLLM_SHARE, Load, cache_bytes, size_of
from magistrate.models.hardware import Gpu
from magistrate.models.profile import Engine, Profile, Weights
from magistrate.models.speed import DECODE_SHARE, PREFILL_SHARE, active_bytes

MOST_SLOTS = 256
"""Requests that vLLM writes at once: its --max-num-seqs."""
TENSOR_PARALLEL = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One copy of the weights, and what it can do."""

    gpu: str
    gpus: int
    """That share the weights."""
    slots: int
    """Requests that are written at once."""
    step_s: tuple[float, ...]
    """Seconds of a step with 0, 1, ... `slots` requests; the first is 0."""
    read_s: float
    """Seconds that one prompt token takes to read."""

    @property
    def tokens_per_second(self) -> float:
        """Written with all slots in use."""
        return self.slots / self.step_s[self.slots]


def replica_of(profile: Profile, gpu: Gpu, *, context_tokens: int) -> Replica:
    """The smallest replica that holds a model on GPUs of one kind, run by vLLM.

    Args:
        profile: The model.
        gpu: The kind; its bandwidth and operations must be known.
        context_tokens: Prompt and answer of a usual request, whose cache each slot takes.

    Raises:
        UsageError: the GPU's speed is not known, vLLM has no form of the model, or eight of the GPU do not hold it.
    """
    if gpu.bandwidth is None or gpu.flops is None:
        raise UsageError(
            f"the speed of the GPU {gpu.name!r} is not known, so nothing can be planned with it",
            hint="name one with a published bandwidth and 16-bit speed: --gpu H100, A100, L4, MI300X",
        )
    forms = profile.weights_for(Engine.VLLM)
    size = None if not forms else size_of(profile, forms[0])
    if size is None:
        raise UsageError(
            f"no form of {profile.name!r} is known that vLLM reads", hint="see magistrate model show " + profile.name
        )
    cache = cache_bytes(profile, Load(context_tokens=context_tokens, concurrency=1))
    for gpus in TENSOR_PARALLEL:
        room = gpus * (VLLM_SHARE * gpu.memory_bytes - OVERHEAD_BYTES[Engine.VLLM]) - size[0]
        slots = min(MOST_SLOTS, int(room // cache))
        if slots >= 1:
            return Replica(
                gpu=gpu.name,
                gpus=gpus,
                slots=slots,
                step_s=_steps(profile, forms[0], size[0], cache, slots, gpus * gpu.bandwidth, gpus * gpu.flops),
                read_s=2 * _active_parameters(profile, size[0]) / (PREFILL_SHARE * gpus * gpu.flops),
            )
    raise UsageError(
        f"{profile.name!r} takes {size[0] / 1e9:,.0f} GB, which eight {gpu.name} do not hold",
        hint="name a larger GPU with --gpu, or a smaller model with --model",
    )


def _steps(
    profile: Profile, weights: Weights, size: int, cache: int, slots: int, bandwidth: float, flops: float
) -> tuple[float, ...]:
    active = min(active_bytes(profile, weights, size), float(size))
    rest = size - active
    operations = 2 * _active_parameters(profile, size) / (PREFILL_SHARE * flops)
    steps = [0.0]
    for requests in range(1, slots + 1):
        read = active + rest * (1 - (1 - active / size) ** (requests - 1)) + requests * cache
        steps.append(max(read / (DECODE_SHARE * bandwidth), requests * operations))
    return tuple(steps)


def _active_parameters(profile: Profile, size: int) -> float:
    """From the profile; where it does not say, as many as 16-bit weights of that size have."""
    return profile.active_parameters or profile.parameters or size / 2
