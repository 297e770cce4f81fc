"""How a model samples where nobody says how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a model samples where a request says nothing, from its generation_config.json."""

    temperature: float
    """0 for the likeliest token."""
    top_k: int | None
    """Sample from this many likeliest tokens; None for all."""
    top_p: float | None
    """Sample from the likeliest tokens that together are this probable; None for all."""
