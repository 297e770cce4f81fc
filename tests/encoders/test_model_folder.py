from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magistrate.encoders.model_folder import ASSETS, SETTINGS, ModelFolder, read_model_folder, settings_json
from magistrate.errors import BackendError


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(min_size=1, max_size=40),
    slope=st.floats(0.01, 99),
    offset=st.floats(-99, 99),
    within=st.floats(0, 0.49),
)
def test_settings_are_read_as_they_were_written(
    tmp_path: Path, name: str, slope: float, offset: float, within: float
) -> None:
    folder = ModelFolder(path=tmp_path, name=name, slope=slope, offset=offset, abstain_within=within)
    (tmp_path / SETTINGS).write_text(settings_json(folder), encoding="utf-8")
    assert read_model_folder(tmp_path) == folder


def test_the_shipped_model_has_settings() -> None:
    assert read_model_folder(ASSETS).path == ASSETS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "name"),
        ("nonsense", "Invalid JSON"),
        ('{"name": "m", "slope": 0, "offset": 0, "abstain_within": 0}', "slope"),
        ('{"name": "m", "slope": 1, "offset": 0, "abstain_within": 0.5}', "abstain_within"),
        ('{"name": "m", "slope": 1, "offset": 0, "abstain_within": 0, "more": 1}', "more"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / SETTINGS).write_text(text, encoding="utf-8")
    with pytest.raises(BackendError, match=said):
        read_model_folder(tmp_path)


def test_a_folder_without_settings(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no embedded model"):
        read_model_folder(tmp_path)
