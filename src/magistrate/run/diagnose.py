"""Look at what is installed and reachable, one finding a question. Nothing here raises: a fault is a finding."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import anyio

import magistrate
from magistrate.config import Config, ModelConfig, find_config, read_config
from magistrate.errors import MagistrateError
from magistrate.policy.starter import read_starter, starter_names
from magistrate.run.judge import Judge
from magistrate.types import Decided

REACH_TIMEOUT_S = 5.0


class Standing(StrEnum):
    """How a question came out."""

    OK = "ok"
    NOTE = "note"
    """Works, or is not set up; worth knowing."""
    BROKEN = "broken"
    """Is set up and does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and what to do next where there is something to do."""

    what: str
    found: str
    standing: Standing = Standing.OK
    next_step: str = ""


def diagnose() -> list[Finding]:
    """Look at everything: settings, the embedded judge, starter policies, the log, extras, each configured model."""
    config, finding = _settings()
    findings = [_version(), finding, _guarded("embedded judge", _embedded), _guarded("starter policies", _starters)]
    findings.append(_guarded("decision log", lambda: _log(config)))
    findings.append(_harmony())
    if not config.models:
        findings.append(
            Finding(
                "models",
                "none in magistrate.toml: the embedded judge is used",
                Standing.NOTE,
                "to use gpt-oss-safeguard or another server, see docs/configuration.md",
            )
        )
    findings.extend(_guarded(f"model {name}", partial(_model, m)) for name, m in sorted(config.models.items()))
    return findings


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        finding = look()
    except MagistrateError as error:
        return Finding(what, error.message, Standing.BROKEN, error.hint or "")
    return Finding(what, finding.found, finding.standing, finding.next_step)


def _version() -> Finding:
    cores = os.cpu_count() or 1
    return Finding(
        "magistrate", f"{magistrate.__version__}, Python {platform.python_version()}, {sys.platform}, {cores} cores"
    )


def _settings() -> tuple[Config, Finding]:
    try:
        path = find_config()
        config = read_config(path)
    except MagistrateError as error:
        return Config(), Finding("settings", error.message, Standing.BROKEN, error.hint or "")
    if path is None:
        return config, Finding("settings", "no magistrate.toml: defaults are used", Standing.NOTE)
    return config, Finding("settings", str(path))


def _embedded() -> Finding:
    started = time.perf_counter()
    policy = read_starter("spam")
    with Judge("embedded", config=Config()) as judge:
        verdict = judge.judge(policy, "1000 followers for $5, DM me")
    elapsed = time.perf_counter() - started
    if not isinstance(verdict, Decided):
        return Finding("", f"gave no verdict: {verdict.code.value}", Standing.BROKEN, "reinstall magistrate")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("onnxruntime", "tokenizers"))
    return Finding("", f"{verdict.trace.model} loaded and judged in {elapsed:.2f} s ({packages})")


def _starters() -> Finding:
    names = starter_names()
    for name in names:
        read_starter(name)
    return Finding("", f"{len(names)}: {', '.join(names)}")


def _log(config: Config) -> Finding:
    if not config.log.enabled:
        return Finding("", "switched off in [log]", Standing.NOTE)
    path = config.log_path()
    kept = "content is kept" if config.log.keep_content else "content is kept as a digest only"
    if not path.exists():
        folder = _nearest_folder(path)
        if not os.access(folder, os.W_OK):
            return Finding("", f"{folder} cannot be written", Standing.BROKEN, "set [log] path, or $MAGISTRATE_HOME")
        return Finding("", f"{path} (made at the first decision; {kept})")
    from magistrate.store.log import DecisionLog

    with DecisionLog(path, keep_content=config.log.keep_content) as log:
        return Finding("", f"{path}: {log.count()} decisions; {kept}")


def _nearest_folder(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.is_dir())


def _harmony() -> Finding:
    if importlib.util.find_spec("openai_harmony") is None:
        return Finding(
            "extra harmony",
            "not installed (servers do not need it)",
            Standing.NOTE,
            "pip install 'magistrate[harmony]' for engines in process",
        )
    return Finding("extra harmony", f"openai-harmony {importlib.metadata.version('openai-harmony')}")


def _model(settings: ModelConfig) -> Finding:
    if settings.api_key_env is not None and not os.environ.get(settings.api_key_env):
        return Finding(
            "", f"${settings.api_key_env} is not set", Standing.BROKEN, f"export {settings.api_key_env}=… in your shell"
        )
    if settings.url is None:
        return _weights(settings)
    return anyio.run(_reach, settings.url, settings)


def _weights(settings: ModelConfig) -> Finding:
    """An engine in process: whether it is installed. Weights are not loaded for this."""
    from magistrate.run.engines import is_installed

    assert settings.engine is not None  # noqa: S101  # a model without an address has one
    engine = settings.engine.value
    if not is_installed(settings.engine):
        return Finding("", f"{engine} is not installed", Standing.BROKEN, f"pip install 'magistrate[{engine}]'")
    return Finding("", f"{settings.weights}, in process by {engine}; its weights are not loaded for this check")


async def _reach(url: str, settings: ModelConfig) -> Finding:
    from magistrate.backends.http import HttpBackend

    backend = HttpBackend(
        url, settings.model, api_key_env=settings.api_key_env, timeout_s=REACH_TIMEOUT_S, concurrency=1
    )
    async with backend:
        served = await backend.list_models()
    if settings.model is not None and settings.model not in served:
        return Finding(
            "",
            f"{url} answers, and does not list {settings.model!r}",
            Standing.NOTE,
            f"it lists: {', '.join(served[:5]) or 'nothing'}; mend `model` in magistrate.toml",
        )
    return Finding("", f"{url} answers, {len(served)} models")
