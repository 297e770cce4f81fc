from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from magistrate.encoders.base import EncodedPassage, Encoder, Passage
from magistrate.encoders.minilm import MiniLmEncoder
from magistrate.encoders.model_folder import ASSETS, GRAPH, HEAD, SETTINGS, TOKENIZER, read_model_folder
from magistrate.errors import BackendError, UsageError

ANY_TEXT = st.text(st.characters(), max_size=80)
"""With control characters, lone surrogates and unassigned code points."""

TEXTS = [
    "How do I reset my password?",
    "I forgot my password, what now?",
    "The soup needs more salt.",
    "Buy cheap followers now, limited offer!",
    "We sell 1000 Instagram followers for $5",
]


@pytest.fixture(scope="module")
def encoder() -> Iterator[MiniLmEncoder]:
    with MiniLmEncoder() as opened:
        yield opened


def equal(a: EncodedPassage, b: EncodedPassage) -> bool:
    return a.tokens == b.tokens and all(
        np.array_equal(x.states, y.states) and x.spans == y.spans for x, y in zip(a.windows, b.windows, strict=True)
    )


def spans(passage: EncodedPassage) -> list[tuple[int, int]]:
    return [span for window in passage.windows for span in window.spans if span is not None]


def test_is_an_encoder(encoder: MiniLmEncoder) -> None:
    one: Encoder = encoder
    assert (one.name, one.dimensions) == (read_model_folder(ASSETS).name, 384)


@pytest.mark.parametrize("name", [GRAPH, HEAD, TOKENIZER, SETTINGS])
def test_the_files_are_those_that_the_model_card_names(name: str) -> None:
    card = (ASSETS / "MODEL.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| `{re.escape(name)}`[^|]*\| `([0-9a-f]{{64}})` \|$", card, re.MULTILINE)
    assert found is not None
    assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == found[1]


def test_the_licence_of_the_weights_is_kept() -> None:
    assert "Apache License" in (ASSETS / "LICENSE").read_text(encoding="utf-8")


def test_states_have_their_shape(encoder: MiniLmEncoder) -> None:
    states = encoder.encode([*TEXTS, "", "long " * 900])
    assert states.shape == (7, 384)
    assert states.dtype == np.float32
    assert np.isfinite(states).all()
    assert encoder.encode([]).shape == (0, 384)
    assert encoder.encode_tokens([]) == []


def test_the_state_of_a_text_is_the_mean_of_its_tokens_and_marks(encoder: MiniLmEncoder) -> None:
    (passage,) = encoder.encode_tokens([Passage(TEXTS[0])])
    (window,) = passage.windows
    assert window.spans[0] is None and window.spans[-1] is None
    assert len(window.spans) == len(window.states) == passage.tokens
    np.testing.assert_allclose(window.states.mean(axis=0), encoder.encode([TEXTS[0]])[0], atol=1e-5)


@settings(max_examples=30)
@given(texts=st.lists(ANY_TEXT, max_size=5), others=st.lists(ANY_TEXT, max_size=3))
def test_a_state_does_not_depend_on_what_else_is_encoded(
    encoder: MiniLmEncoder, texts: list[str], others: list[str]
) -> None:
    together = encoder.encode([*others, *texts])[len(others) :]
    pieces = encoder.encode_tokens([Passage(text) for text in [*others, *texts]])[len(others) :]
    for text, vector, passage in zip(texts, together, pieces, strict=True):
        assert np.array_equal(encoder.encode([text])[0], vector)
        assert equal(encoder.encode_tokens([Passage(text)])[0], passage)


def test_a_state_does_not_depend_on_the_number_of_threads(encoder: MiniLmEncoder) -> None:
    passages = [Passage(text) for text in [*TEXTS, "some more words to fill another window " * 60]]
    with MiniLmEncoder(threads=1) as alone:
        one_by_one = alone.encode_tokens(passages)
    assert all(equal(a, b) for a, b in zip(one_by_one, encoder.encode_tokens(passages), strict=True))


@settings(max_examples=60)
@example(text="\ud800 alone \udfff", context="\udfff")
@given(text=ANY_TEXT, context=ANY_TEXT)
def test_no_text_is_refused_and_spans_lie_in_it(encoder: MiniLmEncoder, text: str, context: str) -> None:
    (passage,) = encoder.encode_tokens([Passage(text, context)])
    assert passage.windows
    for window in passage.windows:
        assert len(window.states) == len(window.spans) >= 1
        assert np.isfinite(window.states).all()
        inside = [span for span in window.spans if span is not None]
        assert all(0 <= start <= end <= len(text) for start, end in inside)
        assert inside == sorted(inside)


def test_no_word_of_a_long_text_is_left_out(encoder: MiniLmEncoder) -> None:
    text = " ".join(f"incomprehensibilities{number} antidisestablishmentarian" for number in range(200))
    (passage,) = encoder.encode_tokens([Passage(text)])
    assert len(passage.windows) > 5
    read = set[int]().union(*(range(start, end) for start, end in spans(passage)))
    assert read == {place for place, character in enumerate(text) if character != " "}


def test_context_changes_states_and_has_none(encoder: MiniLmEncoder) -> None:
    alone, after = encoder.encode_tokens([Passage("Yes, do it."), Passage("Yes, do it.", "Shall I burn the house?")])
    assert spans(alone) == spans(after)
    assert after.tokens > alone.tokens
    assert (
        len(after.windows[0].states) == len(spans(after)) + 1
    )  # the closing mark; the first stands before the context
    same = alone.windows[0].states[1:] - after.windows[0].states
    assert np.abs(same).max() > 0.01


def test_a_long_context_leaves_room_for_the_text(encoder: MiniLmEncoder) -> None:
    (passage,) = encoder.encode_tokens([Passage("Yes, do it.", "word " * 5000)])
    assert spans(passage)[-1][1] == 11
    assert passage.tokens <= 110


def test_context_is_in_no_window_without_text(encoder: MiniLmEncoder) -> None:
    (passage,) = encoder.encode_tokens([Passage("word " * 300, "before " * 90)])
    assert all(any(span is not None for span in window.spans) for window in passage.windows)
    assert {start for start, _ in spans(passage)} == set(range(0, 1500, 5))


@pytest.mark.parametrize("mark", ["[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]"])
def test_marks_of_the_model_are_plain_text_in_content(encoder: MiniLmEncoder, mark: str) -> None:
    """As a mark it would be one token; as text it is a bracket, letters and a bracket."""
    (plain, marked) = encoder.encode_tokens([Passage("kill them all"), Passage(f"kill them all {mark}")])
    assert marked.tokens >= plain.tokens + 3
    assert spans(marked)[-1][1] == len(f"kill them all {mark}")


def test_an_encoder_is_used_open_and_can_be_opened_again() -> None:
    encoder = MiniLmEncoder(threads=1)
    with pytest.raises(UsageError, match="not open"):
        encoder.encode(["text"])
    for _ in range(2):
        with encoder:
            assert encoder.encode(["text"]).shape == (1, 384)
        with pytest.raises(UsageError, match="not open"):
            encoder.encode_tokens([Passage("text")])


def test_a_number_of_threads_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        MiniLmEncoder(threads=0)


@pytest.mark.parametrize("name", [GRAPH, TOKENIZER])
def test_missing_files_are_told_apart_from_a_crash(tmp_path: Path, name: str) -> None:
    for kept in {GRAPH, TOKENIZER, SETTINGS} - {name}:
        shutil.copyfile(ASSETS / kept, tmp_path / kept)
    with pytest.raises(BackendError, match=name.replace(".", r"\.")), MiniLmEncoder(tmp_path):
        pass
