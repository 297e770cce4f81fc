"""The script that builds a tiny gpt-oss-safeguard, and where its vocabulary is."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
VOCABULARY = Path(os.environ.get("TIKTOKEN_ENCODINGS_BASE", ROOT.parent / "shared" / "harmony")) / "o200k_base.tiktoken"

needs_vocabulary = pytest.mark.skipif(
    not VOCABULARY.is_file(), reason="needs the Harmony vocabulary: set TIKTOKEN_ENCODINGS_BASE"
)


def load_script() -> ModuleType:
    """scripts/tiny_safeguard.py as a module."""
    name = "tiny_safeguard_script"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / "tiny_safeguard.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
