"""A folder that holds an embedded model: its graph, tokenizer and head, and what must be known to use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydantic

from magistrate.errors import BackendError

ASSETS = Path(__file__).with_name("minilm")
"""The model that ships inside the package."""
GRAPH, TOKENIZER, HEAD, SETTINGS, CARD = "model.int8.onnx", "tokenizer.json", "head.npz", "model.json", "MODEL.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """Where a model is, and how its log-odds become probabilities."""

    path: Path
    name: str
    """Of the model with its version: verdicts carry it."""
    slope: float
    offset: float
    """Probability of a violation = logistic(slope * log-odds + offset), fitted on policies that were not trained on."""
    abstain_within: float
    """The model is unsure where the probability is closer to one half than this."""


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str = pydantic.Field(min_length=1, max_length=100)
    slope: float = pydantic.Field(gt=0, le=100)
    offset: float = pydantic.Field(ge=-100, le=100)
    abstain_within: float = pydantic.Field(ge=0, lt=0.5)


def read_model_folder(path: Path) -> ModelFolder:
    """Read the settings of a model; its weights are read when it is opened.

    Raises:
        BackendError: the folder has no readable settings.
    """
    file = path / SETTINGS
    try:
        found = _Settings.model_validate_json(file.read_bytes())
    except OSError as error:
        raise BackendError(
            f"{str(path)!r} is no embedded model: cannot read {SETTINGS!r}: {error.strerror or error}",
            hint="give a folder that `magistrate train embedded` wrote",
        ) from error
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BackendError(
            f"{str(file)!r} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            hint="train the model again, or restore the file",
        ) from error
    return ModelFolder(
        path=path, name=found.name, slope=found.slope, offset=found.offset, abstain_within=found.abstain_within
    )


def settings_json(folder: ModelFolder) -> str:
    """What `read_model_folder` reads."""
    settings = _Settings(
        name=folder.name, slope=folder.slope, offset=folder.offset, abstain_within=folder.abstain_within
    )
    return settings.model_dump_json(indent=2) + "\n"
