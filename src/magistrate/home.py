"""The folder that magistrate keeps its own files in."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "MAGISTRATE_HOME"
"""Folder for the decision log and for where weights are; the platform's data folder where it is not set."""


def home_folder() -> Path:
    """Where magistrate's own files are; it need not be there yet."""
    home = os.environ.get(HOME_VARIABLE)
    return Path(home) if home else Path(platformdirs.user_data_dir("magistrate", appauthor=False))
