"""From what the user calls a model to a classifier that judges."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from magistrate.backends.base import Backend
from magistrate.classifiers.base import Classifier
from magistrate.classifiers.plan import NO_BUDGET, Budget, Split
from magistrate.config import Config, ModelConfig
from magistrate.dialects.base import Dialect
from magistrate.errors import UsageError
from magistrate.run.named import dialect_of, profile_called, reasoner_named
from magistrate.types import Effort, Sampling

if TYPE_CHECKING:
    from magistrate.classifiers.cascade.plan import Stage
    from magistrate.classifiers.cascade.standby import Probe

EMBEDDED = "embedded"
"""The name of the judge that ships inside the package."""
LISTS_SUFFIX = ".toml"
"""Of a file of lists of words, patterns and hashes."""
ENGINE_ROWS = 64
"""Rows a call of a batch for an engine in process, which works on them together."""
SIGN_OF_LIFE_S = 5.0
SCREEN_ROWS, LIST_ROWS = 2048, 512
"""Rows a call of a batch, for a static screen and for lists."""


def classifier_for(
    model: str | None,
    config: Config,
    *,
    model_name: str | None = None,
    effort: Effort | None = None,
    dialect: str | None = None,
    plan: Split | None = None,
    max_calls: int | None = None,
) -> Classifier:
    """Build the classifier that `model` names; nothing is opened yet.

    Args:
        model: None for the configured default, `embedded`, the folder of an embedded model, a screen or a cascade, a
            file of lists (.toml), a URL ending in /v1, a name from `[models]`, a model that is served on this machine,
            or weights to load: `vllm:PATH`, `transformers:PATH`, `llamacpp:FILE`.
        config: The settings.
        model_name: Which model at that URL; None where it serves just one, or the settings say so.
        effort: Overrides the settings.
        dialect: Overrides the settings.
        plan: How several policies and their rules become calls; None for one call a policy, without a planner.
        max_calls: Calls an item at the most, without retries; a coarser plan is taken where it is needed.

    Raises:
        UsageError: no such model or dialect, or options that the embedded judge does not take.
    """
    cascade = cascade_of(model, config)
    if cascade is not None:
        if (model_name, effort, dialect, plan, max_calls) != (None,) * 5:
            raise UsageError(
                "a cascade says itself how its stages are asked",
                hint="leave out model name, effort, dialect, plan and calls, or set them in [models]",
            )
        return cascade_classifier(cascade, config)
    settings = server_settings(model, config)
    if settings is None:
        if model_name is not None or dialect is not None:
            raise UsageError("the embedded judge takes no model name and no dialect", hint="add --model URL")
        if plan is not None or max_calls is not None:
            raise UsageError(
                "the embedded judge reads all rules at once",
                hint="add --model URL, or leave the plan and its calls out",
            )
        wanted = model if model is not None else config.judge.model
        return _embedded(None) if wanted is None or wanted == EMBEDDED else _of_path(Path(wanted))
    if plan is None and max_calls is None:
        return _reasoner(settings, model_name=model_name, effort=effort, dialect=dialect)
    budget = NO_BUDGET if max_calls is None else Budget(calls=max_calls)
    return _planned(settings, plan or Split.PER_POLICY, budget, model_name=model_name, effort=effort, dialect=dialect)


def batch_shape(model: str | None, config: Config) -> tuple[int, int]:
    """Rows a call and calls under way at once, for a batch.

    A server is asked row by row, so that a kill repeats no more calls than were under way; the embedded judge
    gets small chunks, which cost milliseconds to repeat, and a screen large ones, whose cost is in each call. A cascade
    gets larger ones than the embedded judge: few of their rows reach a server.
    """
    cascade = cascade_of(model, config)
    if cascade is not None:
        return (64, 2)
    settings = server_settings(model, config)
    if settings is not None:
        return (1, settings.concurrency) if settings.url is not None else (ENGINE_ROWS, 1)
    wanted = model if model is not None else config.judge.model
    return (32, 2) if wanted is None or wanted == EMBEDDED else _shape_of_path(Path(wanted))


def _settings(wanted: str, config: Config) -> ModelConfig:
    found = reasoner_named(wanted, config)
    if found is not None:
        return found
    profile = profile_called(wanted)
    if profile is not None:
        raise UsageError(
            f"{profile.name} is not served on this machine",
            hint=f"magistrate model serve {wanted}, and leave it running; or in this process: --model "
            f"vllm:FOLDER, transformers:FOLDER or llamacpp:FILE.gguf; or --model URL",
        )
    known = [EMBEDDED, *sorted(config.models)]
    near = difflib.get_close_matches(wanted, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(
        f"no model named {wanted!r}",
        hint=f"{meant}known: {', '.join(known)}; or give a URL such as http://127.0.0.1:8000/v1, the folder of an "
        f"embedded model or a screen, a file of lists (.toml), or add [models.{wanted}] to magistrate.toml",
    )


def cascade_of(model: str | None, config: Config) -> Path | None:
    """The plan's file, where `model` names a cascade: that file, or a folder that holds a `cascade.json`."""
    wanted = model if model is not None else config.judge.model
    if wanted is None or "://" in wanted or wanted == EMBEDDED or wanted in config.models:
        return None
    from magistrate.classifiers.cascade.file import cascade_file

    return cascade_file(Path(wanted))


def cascade_classifier(
    file: Path, config: Config, *, given: Mapping[str, Classifier] = MappingProxyType({})
) -> Classifier:
    """The cascade of a plan's file; nothing is opened yet.

    Args:
        file: The plan.
        config: The settings.
        given: By the name of a stage: judges in place of its model, as when a replay has its answers.

    Raises:
        InputError: the plan cannot be read.
        UsageError: a stage's model does not exist, or cannot give the votes that the plan asks for.
    """
    from magistrate.classifiers.cascade.driver import Cascade
    from magistrate.classifiers.cascade.file import read_plan, read_wordings

    plan = read_plan(file)
    classifiers = [given.get(stage.name) or _stage(stage, file, config) for stage in plan.stages]
    cascade = Cascade(plan, classifiers, wordings=read_wordings(plan, file.parent))
    if plan.reuse is None:
        return cascade
    from magistrate.classifiers.cascade.duplicates import Deduplicated  # loads numpy

    screen = classifiers[0] if len(classifiers) > 1 else None
    return Deduplicated(cascade, plan.reuse, screen=screen, decide_at=plan.last.flag_from or 0.0)


def _stage(stage: Stage, file: Path, config: Config) -> Classifier:
    """The classifier of one stage; a folder or a file is looked for beside the plan first."""
    from magistrate.classifiers.base import Repeatable
    from magistrate.classifiers.cascade.standby import Standby

    model = stage.model
    beside = file.parent / model
    wanted = str(beside) if "://" not in model and model not in config.models and beside.exists() else model
    if cascade_of(wanted, config) is not None:
        raise UsageError(
            f"{str(file)!r}: the stage model {model!r} is a cascade itself",
            hint="name the models of its stages instead",
        )
    classifier = classifier_for(wanted, config)
    settings = server_settings(wanted, config)
    if settings is None or not isinstance(classifier, Repeatable):
        return classifier
    if stage.votes is not None and stage.votes.times > 1:
        check_sampling(model, settings)
    if settings.url is None:  # in this process: it loads, or it does not
        return classifier
    return Standby(classifier, model, probe=None if settings.model is None else _sign_of_life(settings.url, settings))


def check_sampling(model: str, settings: ModelConfig) -> None:
    """Refuse to ask a model several times that says the same each time.

    Raises:
        UsageError: its temperature is 0.
    """
    if settings.temperature == 0:
        raise UsageError(
            f"{model!r} is to be asked several times, and at temperature 0 it says the same each time",
            hint=f"set a temperature in [models.{model}], or vote with other wordings only",
        )


def _sign_of_life(url: str, settings: ModelConfig) -> Probe:
    """Ask a server which models it has: any answer is one."""
    from magistrate.backends.http import HttpBackend  # loads httpx
    from magistrate.errors import BackendError, UnreachableError

    http = HttpBackend(
        url,
        settings.model,
        api_key_env=settings.api_key_env,
        timeout_s=min(settings.timeout_s, SIGN_OF_LIFE_S),
    )

    async def ask() -> None:
        try:
            await http.list_models()
        except UnreachableError:
            raise
        except BackendError:
            return  # it answers; whether it can be used is for the first case to show

    return ask


def _of_path(path: Path) -> Classifier:
    """What a folder or a file of lists judges with."""
    from magistrate.classifiers.screens.folder import is_screen_folder

    if is_screen_folder(path):
        from magistrate.classifiers.screens.trained import TrainedScreen  # loads numpy and tokenizers

        return TrainedScreen(path)
    if path.is_file():
        from magistrate.classifiers.screens.lists import ListScreen

        return ListScreen(path)
    return _embedded(path)


def _shape_of_path(path: Path) -> tuple[int, int]:
    from magistrate.classifiers.screens.folder import ScreenKind, is_screen_folder, read_screen_folder

    if path.is_file():
        return LIST_ROWS, 1
    if is_screen_folder(path) and read_screen_folder(path).settings.kind is ScreenKind.STATIC:
        return SCREEN_ROWS, 1
    return 32, 2


@functools.cache
def _embedded(folder: Path | None) -> Classifier:
    """An embedded judge, one a folder for the process: its weights are read once and are never written."""
    from magistrate.classifiers.clause_matcher import ClauseMatcher  # loads numpy
    from magistrate.encoders.minilm import MiniLmEncoder  # loads onnxruntime

    return ClauseMatcher(MiniLmEncoder() if folder is None else MiniLmEncoder(folder))


def _reasoner(
    settings: ModelConfig, *, model_name: str | None, effort: Effort | None, dialect: str | None
) -> Classifier:
    from magistrate.dialects.registry import dialect_named

    backend = backend_for(settings, model_name=model_name)
    return _asking(dialect_named(dialect or dialect_of(settings)), settings, backend, effort, model_name)


def _planned(
    settings: ModelConfig,
    plan: Split,
    budget: Budget,
    *,
    model_name: str | None,
    effort: Effort | None,
    dialect: str | None,
) -> Classifier:
    """Two reasoners over one backend: for one policy a call, and for several."""
    from magistrate.classifiers.planned import Planned
    from magistrate.dialects.multi import SAFEGUARD_MULTI
    from magistrate.dialects.registry import dialect_named

    backend = backend_for(settings, model_name=model_name)
    inner = _asking(dialect_named(dialect or dialect_of(settings)), settings, backend, effort, model_name)
    joint = _asking(SAFEGUARD_MULTI, settings, backend, effort, model_name)
    return Planned(inner, plan, joint=joint, budget=budget)


def _asking(
    dialect: Dialect, settings: ModelConfig, backend: Backend, effort: Effort | None, model_name: str | None
) -> Classifier:
    """A reasoner that is asked only what its model takes: what is not is told before the first call."""
    from magistrate.models.limits import CheckedReasoner, limits_of

    limits = limits_of(settings.url or "", model_name or settings.model, context_tokens=settings.context_tokens)
    sampling = Sampling(
        max_output_tokens=settings.max_output_tokens, temperature=settings.temperature, seed=settings.seed
    )
    return CheckedReasoner(
        dialect,
        backend,
        limits,
        effort=effort or settings.effort,
        sampling=sampling,
        constrained=settings.constrained,
    )


def backend_for(settings: ModelConfig, *, model_name: str | None = None) -> Backend:
    """Build the way to a model: HTTP, retried, or an engine in process; cached where the settings name a file."""
    asked = (
        _in_process(settings, model_name) if settings.url is None else _over_http(settings.url, settings, model_name)
    )
    if settings.cache is None:
        return asked
    from magistrate.backends.cache import CacheBackend

    return CacheBackend(asked, Path(settings.cache).expanduser())


def _in_process(settings: ModelConfig, model_name: str | None) -> Backend:
    from magistrate.run.engines import engine_backend

    assert settings.engine is not None and settings.weights is not None  # noqa: S101  # see ModelConfig
    return engine_backend(settings.engine, settings.weights, model_name or settings.model, settings.context_tokens)


def _over_http(url: str, settings: ModelConfig, model_name: str | None) -> Backend:
    from magistrate.backends.http import HttpBackend  # loads httpx
    from magistrate.backends.retry import RetryBackend
    from magistrate.models.limits import is_known_service

    http = HttpBackend(
        url,
        model_name or settings.model,
        api_key_env=settings.api_key_env,
        timeout_s=settings.timeout_s,
        concurrency=settings.concurrency,
        context_tokens=settings.context_tokens,
        ask_context=not is_known_service(url),
        token_ids=settings.token_ids,
    )
    return RetryBackend(http, attempts=settings.attempts)


def server_settings(model: str | None, config: Config) -> ModelConfig | None:
    """The settings of the reasoner that `model` names; None for a judge of the package, a folder, lists or a cascade.

    Raises:
        UsageError: no such model.
    """
    wanted = model if model is not None else config.judge.model
    if wanted is None or wanted == EMBEDDED or (wanted not in config.models and _is_local(Path(wanted))):
        return None
    if cascade_of(wanted, config) is not None:
        return None
    return _settings(wanted, config)


def _is_local(path: Path) -> bool:
    """Whether it is the folder of a model or of a screen, or a file of lists."""
    return path.is_dir() or (path.suffix == LISTS_SUFFIX and path.is_file())
