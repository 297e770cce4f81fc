from __future__ import annotations

import json
from pathlib import Path

import pytest

MARKET = """# Market

## Violates
- M1. Asks to pay outside the site.
- M2. Offers guns or drugs.

## Allowed
- A1. Questions about an item.

## Examples
- "Pay me by bank" -> 1 (M1)
- "How wide is it?" -> 0 (A1)
"""
RUDE = """# Manners

## Violates
- R1. Insults the other person.

## Allowed
- RA1. Friendly or neutral talk, whatever it is about.
"""
TEXTS = [
    ("Send the money by wire, not through the site", "M1", "RA1"),
    ("Pay cash at my door, you idiot", "M1", "R1"),
    ("Glock for sale, as new", "M2", "RA1"),
    ("Is the sofa leather?", "A1", "RA1"),
    ("What colour is it, moron?", "A1", "R1"),
    ("Does the lamp work?", "A1", "RA1"),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small folder of data sets: two policies over the same texts."""
    folder = tmp_path / "corpus"
    for part in ("policies", "train"):
        (folder / part).mkdir(parents=True)
    for column, (name, policy) in enumerate((("market", MARKET), ("manners", RUDE)), start=1):
        (folder / f"policies/{name}.md").write_text(policy, encoding="utf-8")
        rows = [
            {
                "id": f"{name}-{n}",
                "text": row[0],
                "label": int(not row[column][-2:].startswith("A")),
                "rule": row[column],
            }
            for n, row in enumerate(TEXTS)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"train/{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder
