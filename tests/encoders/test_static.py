from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magistrate.encoders import static
from magistrate.encoders.static import WINDOW_TOKENS, StaticEncoder, Windows, joined
from magistrate.encoders.static_folder import VECTORS, StaticVectors, read_static_vectors, write_static_vectors
from magistrate.errors import BackendError, UsageError

ODD = ["", "   ", "\ud800", "\x00", "a", "straße ÉCOLE 日本語 🔫", "word " * 1000, "[SEP] [CLS]", "x" * 5000]


@pytest.fixture(scope="module")
def encoder() -> Iterator[StaticEncoder]:
    with StaticEncoder() as opened:
        yield opened


def slowly(encoder: StaticEncoder, text: str) -> np.ndarray:
    """The definition: token by token."""
    windows = next(encoder.windows([text], longest=None))
    total = np.zeros(encoder.dimensions, np.float64)
    for number in windows.ids.tolist():
        total += encoder.table[number]
    length = np.linalg.norm(total)
    return total / length if length > 1e-9 else total * 0


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(max_size=60) | st.sampled_from(ODD), max_size=8))
def test_a_vector_is_the_sum_of_its_tokens_whatever_stands_beside_it(encoder: StaticEncoder, texts: list[str]) -> None:
    found = encoder.encode(texts)
    assert found.shape == (len(texts), encoder.dimensions)
    for vector, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(vector, slowly(encoder, text), atol=2e-5)


def test_odd_texts_have_finite_vectors_and_blank_ones_zeros(encoder: StaticEncoder) -> None:
    found = encoder.encode(ODD)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:2], 0)


@given(lengths=st.lists(st.integers(1, 700), min_size=1, max_size=12), longest=st.integers(1, 300))
def test_windows_hold_every_token_once_in_order(lengths: list[int], longest: int) -> None:
    rows = [list(range(length)) for length in lengths]
    windows = static.cut_rows(rows, 5, longest)
    sizes = windows.ends - windows.starts
    assert windows.ids.tolist() == [number for row in rows for number in row]
    assert windows.starts[0] == 0
    assert sizes.min() >= 1
    assert sizes.max() <= longest
    assert [int(sizes[windows.owners == 5 + place].sum()) for place in range(len(rows))] == lengths


def test_a_long_text_is_read_in_windows_and_a_short_one_whole(encoder: StaticEncoder) -> None:
    windows = next(encoder.windows(["hello there", "word " * (3 * WINDOW_TOKENS)]))
    assert windows.owners.tolist() == [0, 1, 1, 1]


def test_blocks_give_what_one_block_gives(encoder: StaticEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text number {number} " * (number % 7) for number in range(50)]
    whole = joined(list(encoder.windows(texts)))
    vectors, _ = encoder.vectors(whole)
    monkeypatch.setattr(static, "BLOCK_TOKENS", 40)
    monkeypatch.setattr(static, "BLOCK_TEXTS", 9)
    parts = list(encoder.windows(texts))
    assert len(parts) > 6
    again = joined(parts)
    for name in ("ids", "starts", "owners"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(again, name))
    np.testing.assert_allclose(encoder.vectors(again)[0], vectors, atol=1e-6)


def test_a_text_of_megabytes_is_read_to_its_end(encoder: StaticEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "LONGEST_TOKENISED", 1000)
    long = next(encoder.windows(["alpha " * 500 + "omega"], longest=None))
    last = next(encoder.windows(["omega"], longest=None))
    assert long.ids[-1] == last.ids[-1]
    assert long.ids.size >= 501


def test_nothing_gives_nothing(encoder: StaticEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimensions)
    assert joined([]).ids.size == 0


def test_it_must_be_open() -> None:
    with pytest.raises(UsageError, match="not open"):
        StaticEncoder().encode(["a"])


def test_related_words_are_nearer_than_unrelated_ones(encoder: StaticEncoder) -> None:
    dog, puppy, invoice = encoder.encode(["dog", "puppy", "invoice"])
    assert dog @ puppy > dog @ invoice + 0.2


def test_vectors_are_read_as_written(tmp_path: Path) -> None:
    steps = np.array([[1, -127], [0, 3]], np.int8)
    write_static_vectors(tmp_path, StaticVectors("mine.v1", steps, np.array([0.5, 0.0], np.float32)))
    found = read_static_vectors(tmp_path)
    assert found.name == "mine.v1"
    np.testing.assert_array_equal(found.table(), [[0.5, -63.5], [0, 0]])


def test_vectors_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    write_static_vectors(tmp_path, StaticVectors("mine.v1", np.ones((3, 2), np.int8), np.ones(3, np.float32)))
    with pytest.raises(BackendError, match="for 3 tokens, the tokeniser has"):
        StaticEncoder(tmp_path).__enter__()


def broken(folder: Path, **arrays: np.ndarray) -> None:
    good = {"name": np.array("m"), "steps": np.ones((2, 2), np.int8), "scales": np.ones(2, np.float32)}
    given = {**good, **arrays}
    np.savez(folder / VECTORS, name=given["name"], steps=given["steps"], scales=given["scales"])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"steps": np.ones((2, 2), np.float32)}, "float32"),
        ({"scales": np.ones(3, np.float32)}, "scales"),
        ({"scales": np.array([1, np.nan], np.float32)}, "not finite"),
        ({"name": np.array("")}, "no name"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    broken(tmp_path, **arrays)
    with pytest.raises(BackendError, match=said):
        read_static_vectors(tmp_path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="holds no static vectors"):
        read_static_vectors(tmp_path)
    (tmp_path / VECTORS).write_bytes(b"PK\x03\x04 no")
    with pytest.raises(BackendError, match="cannot be read"):
        read_static_vectors(tmp_path)


def test_many_short_texts_take_a_moment(encoder: StaticEncoder) -> None:
    """No loop over tokens in Python: that would take ten times this."""
    texts = ["a short text of some ten words that says little"] * 3000
    started = time.process_time()
    encoder.encode(texts)
    assert time.process_time() - started < 2


def test_windows_know_their_ends() -> None:
    windows = Windows(np.arange(5, dtype=np.int32), np.array([0, 3]), np.array([0, 0]))
    assert windows.ends.tolist() == [3, 5]
