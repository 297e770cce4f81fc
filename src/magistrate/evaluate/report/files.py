"""The files of a report, as bytes by path; who asks for them writes them."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from magistrate.errors import MissingExtraError, UsageError
from magistrate.evaluate.appraisal import Appraisal
from magistrate.evaluate.report.charts import charts
from magistrate.evaluate.report.page import report_page
from magistrate.evaluate.report.plain import appraisal_values, cases_csv, figures_csv, reasoning_csv
from magistrate.evaluate.report.versus_page import versus_page
from magistrate.evaluate.report.versus_plain import versus_values
from magistrate.evaluate.versus import Versus

SCALE = 2
"""Pixels of a PNG for one of the drawing."""


def report_files(page: Path, tests: Sequence[Appraisal]) -> dict[Path, bytes]:
    """The page, and beside it its figures as JSON and CSV and its rankings of cases as CSV.

    Raises:
        UsageError: as `check_page_name`.
    """
    check_page_name(page)
    values = json.dumps([appraisal_values(test) for test in tests], ensure_ascii=True, indent=1) + "\n"
    return {
        page: report_page(tests).encode(),
        page.with_suffix(".json"): values.encode(),
        page.with_suffix(".csv"): figures_csv(tests).encode(),
        page.with_suffix(".cases.csv"): cases_csv(tests).encode(),
        page.with_suffix(".reasoning.csv"): reasoning_csv(tests).encode(),
    }


def versus_files(page: Path, found: Versus) -> dict[Path, bytes]:
    """The page of a comparison, and beside it everything but the content as JSON.

    Raises:
        UsageError: as `check_page_name`.
    """
    check_page_name(page)
    values = json.dumps(versus_values(found), ensure_ascii=True, indent=1) + "\n"
    return {page: versus_page(found).encode(), page.with_suffix(".json"): values.encode()}


def check_page_name(page: Path) -> None:
    """Refuse a name that no browser would open as a page.

    Raises:
        UsageError: it does not end in `.html`.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a report is an HTML page, got {str(page)!r}", hint="give a name that ends in .html")


def picture_files(folder: Path, tests: Sequence[Appraisal], *, png: bool) -> dict[Path, bytes]:
    """Every chart of every policy as SVG, and as PNG where that is asked for.

    Raises:
        MissingExtraError: PNG is asked for and what draws it is not installed.
    """
    made: dict[Path, bytes] = {}
    for place, test in enumerate(tests, start=1):
        name = re.sub(r"[^\w-]+", "_", test.name)[:80]
        start = f"{place:03}-{name}" if len(tests) > 1 else name
        for chart, drawn in charts(test).items():
            made[folder / f"{start}.{chart}.svg"] = drawn.encode()
            if png:
                made[folder / f"{start}.{chart}.png"] = png_of(drawn)
    return made


def png_of(svg: str) -> bytes:
    """Draw an SVG picture as PNG, with the fonts of this machine.

    Raises:
        MissingExtraError: `resvg_py` is not installed.
    """
    try:
        resvg = importlib.import_module("resvg_py")  # an optional package, which type checkers need not find
    except ImportError as error:
        raise MissingExtraError("PNG", extra="report") from error
    return bytes(resvg.svg_to_bytes(svg_string=svg, zoom=SCALE))
