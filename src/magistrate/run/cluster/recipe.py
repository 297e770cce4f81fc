"""How a judge is built on another machine: as values, with the bytes of what is a file here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from magistrate.classifiers.base import Classifier
from magistrate.classifiers.plan import Split
from magistrate.config import Config
from magistrate.errors import InputError, UsageError
from magistrate.run.models import cascade_of, classifier_for, server_settings
from magistrate.types import Effort

MOST_BYTES = 512 << 20
"""Of a model that is sent along. Weights of a large model are better where every machine can read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What `classifier_for` takes, in a form that means the same on every machine.

    Keys are not in it: settings name the environment variable, and each machine reads its own.
    """

    model: str | None
    """As named by the user; the name of a file or folder in `files` where there are any."""
    model_name: str | None
    effort: str | None
    dialect: str | None
    plan: str | None
    max_calls: int | None
    settings: str
    """`[judge]` and `[models]` as JSON: no other settings change a verdict."""
    files: Mapping[str, bytes]
    """By relative path: the folder of a model, a file of lists, a cascade with its stages."""

    def build(self, folder: Path) -> Classifier:
        """Build the classifier; nothing is opened.

        Args:
            folder: An empty one, for the files.

        Raises:
            UsageError: as for `classifier_for`.
        """
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return classifier_for(
            str(folder / self.model) if self.files and self.model is not None else self.model,
            Config.model_validate_json(self.settings),
            model_name=self.model_name,
            effort=None if self.effort is None else Effort(self.effort),
            dialect=self.dialect,
            plan=None if self.plan is None else Split(self.plan),
            max_calls=self.max_calls,
        )


def recipe_for(
    model: str | None,
    config: Config,
    *,
    model_name: str | None = None,
    effort: str | None = None,
    dialect: str | None = None,
    plan: str | None = None,
    max_calls: int | None = None,
) -> Recipe:
    """Write down how to build what `classifier_for` builds here from the same arguments, which it has accepted.

    Raises:
        UsageError: a model that is too large to send, or a cascade whose stages are scattered.
        InputError: a file of the model cannot be read.
    """
    wanted = model if model is not None else config.judge.model
    top = _local_path(wanted, config)
    return Recipe(
        model=wanted if top is None else top.name,
        model_name=model_name,
        effort=effort,
        dialect=dialect,
        plan=plan,
        max_calls=max_calls,
        settings=_resolved(wanted, config).model_dump_json(include={"judge", "models"}),
        files={} if top is None else _packed(top, config),
    )


def _resolved(wanted: str | None, config: Config) -> Config:
    """The settings, with what the name means here: another machine serves other models."""
    settings = server_settings(wanted, config)
    if wanted is None or settings is None:
        return config
    return config.model_copy(update={"models": {**config.models, wanted: settings}})


def _local_path(wanted: str | None, config: Config) -> Path | None:
    """The file or folder that a name is, None for a name that means the same everywhere."""
    if wanted is None or wanted in config.models or "://" in wanted:
        return None
    cascade = cascade_of(wanted, config)
    if cascade is not None:
        return cascade.absolute()
    path = Path(wanted)
    return path.absolute() if path.exists() and server_settings(wanted, config) is None else None


def _packed(top: Path, config: Config) -> dict[str, bytes]:
    """The bytes of a model's files, by their path from its parent folder."""
    parts = [top, *_stages(top, config)] if top.suffix == ".json" else [top]
    files: dict[str, bytes] = {}
    total = 0
    for file in dict.fromkeys(file for part in parts for file in _files(part)):
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {str(file)!r}: {error.strerror}", hint="check its rights") from error
        total += len(data)
        if total > MOST_BYTES:
            raise UsageError(
                f"{str(top)!r} has more than {MOST_BYTES >> 20} MiB, which is too much to send to every machine",
                hint="serve it, and judge with the server's address: --model http://HOST:PORT/v1",
            )
        files[file.relative_to(top.parent).as_posix()] = data
    return files


def _stages(plan_file: Path, config: Config) -> Iterator[Path]:
    """Files and folders that the stages of a cascade are; they must be beside its plan."""
    from magistrate.classifiers.cascade.file import read_plan

    for stage in read_plan(plan_file).stages:
        if "://" in stage.model or stage.model in config.models:
            continue
        beside = plan_file.parent / stage.model
        inside = beside.resolve().is_relative_to(plan_file.parent.resolve()) and ".." not in beside.parts
        if beside.exists() and inside:
            yield beside
        elif Path(stage.model).exists() or beside.exists():
            raise UsageError(
                f"{str(plan_file)!r}: the stage model {stage.model!r} is not beside the plan",
                hint="to judge on other machines, put it into the folder of the plan and name it from there",
            )


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
