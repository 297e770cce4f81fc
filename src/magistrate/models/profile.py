"""What is known of a model: a value, and the same for all models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from magistrate.types import Effort


class Engine(StrEnum):
    """What runs weights: three that read files, and two servers with stores of their own."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"
    LLAMACPP = "llamacpp"
    OLLAMA = "ollama"
    LM_STUDIO = "lmstudio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A published form of a model's weights."""

    quantisation: str
    """As its publisher calls it: `MXFP4`, `BF16`, `Q4_K_M`."""
    repo: str
    """`owner/name` at the Hugging Face Hub."""
    file: str | None = None
    """The GGUF file inside of the repository, the first where it is split; None where engines read the whole."""
    revision: str | None = None
    """Commit, tag or branch; None for the hub's default."""
    size_bytes: int | None = None
    """Of what an engine loads; None where no source says."""
    active_bytes: int | None = None
    """Read for one token: what the active parameters take in this form; None where it was not worked out."""
    engines: tuple[Engine, ...]
    """That read this form; the first is the one to prefer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the size of the key-value cache follows from. Source: the model's config.json, or its report."""

    full_layers: int
    """Layers whose attention reads all tokens."""
    window_layers: int = 0
    """Layers that read only the last `window` tokens."""
    window: int = 0
    kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known of a model. None and an empty tuple mean that no source was found, not that there is nothing."""

    name: str
    aliases: tuple[str, ...] = ()
    family: str
    parameters: int | None = None
    active_parameters: int | None = None
    """That a token passes through: fewer than all in a mixture of experts."""
    context_tokens: int | None = None
    """The longest prompt and answer together that the model was made for."""
    licence: str | None = None
    dialect: str | None = None
    """How it is asked through a server; None where it cannot be given a policy, or no dialect asks it yet."""
    token_dialect: str | None = None
    """How it is asked in process, in tokens; None where the chat form is used there too."""
    weights: tuple[Weights, ...] = ()
    """The one to prefer first."""
    shape: Shape | None = None
    served_names: tuple[tuple[Engine, str], ...] = ()
    """What servers with a store of their own call it."""
    engine_flags: tuple[tuple[Engine, tuple[str, ...]], ...] = ()
    """What an engine's server is started with, apart from what depends on the machine."""
    efforts: tuple[Effort, ...] = ()
    """That it takes; empty for a model that does not reason."""
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What to know before using it, and what could not be verified."""

    def served_name(self, engine: Engine) -> str | None:
        """What that server calls it; None where it does not have it, or no source says."""
        return dict(self.served_names).get(engine)

    def flags(self, engine: Engine) -> tuple[str, ...]:
        """What that engine's server is started with."""
        return dict(self.engine_flags).get(engine, ())

    def weights_for(self, engine: Engine) -> tuple[Weights, ...]:
        """The forms that an engine reads, the one to prefer first."""
        return tuple(weights for weights in self.weights if engine in weights.engines)
