"""What `--on` takes."""

from __future__ import annotations

import pytest

from magistrate.errors import UsageError
from magistrate.run.cluster.place import RayPlace, place_named


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("ray", None),
        ("ray://head", "ray://head:10001"),
        ("ray://head:7", "ray://head:7"),
        ("ray://127.0.0.1:10001", "ray://127.0.0.1:10001"),
        ("ray://[::1]:9", "ray://[::1]:9"),
    ],
)
def test_a_cluster_has_an_address(name: str, address: str | None) -> None:
    place = place_named(name)
    assert isinstance(place, RayPlace)
    assert place.address == address


def test_local_is_this_process() -> None:
    assert place_named("local") is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "spark",
        "Ray",
        "ray:",
        "ray://",
        "ray://:1",
        "ray://head:x",
        "ray://head:70000",
        "ray://u:p@head:1",
        "ray://head:1/x",
        "ray://head:1?x",
        "ray://[::1",
        "http://head:1",
        "head:6379",
    ],
)
def test_what_is_no_place_is_refused_with_what_is(name: str) -> None:
    with pytest.raises(UsageError, match="no place") as caught:
        place_named(name)
    assert "ray://HOST:PORT" in str(caught.value)
