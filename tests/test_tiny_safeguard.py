"""The tiny gpt-oss-safeguard has the real tokenizer: the ids are those of openai-harmony, whatever the text is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.contents import hostile_texts
from tests.tiny_safeguard import ROOT, VOCABULARY, load_script, needs_vocabulary

from magistrate.dialects.harmony import load_encoding

pytestmark = needs_vocabulary
pytest.importorskip("openai_harmony", reason="needs the extra magistrate[harmony]")

script = load_script()
PROSE = st.lists(
    st.sampled_from(
        ["I'll", "WE'RE", " don't", "\u0130stanbul", "\u01c5", "naïve", "日本語", "ไทย", "हिन्दी", "12345", "1\u06632",
         "\U0001f469\u200d\U0001f467", " \n", "\r\n", "\t", "   ", "//", "/\n", "...", " – ", "\u00a0", "\u200b",
         "e\u0301", "x_y", "#tag", "\ufb01", "\u03a9'S", "a'LL b", "'s"]
    ),
    max_size=20,
).map("".join)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def vocabulary() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(VOCABULARY.parent))
        load_encoding()
        yield


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return script.make_tokenizer(script.read_ranks(VOCABULARY))


def sound(text: str) -> str:
    """Without lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()


@given(st.one_of(hostile_texts, st.text(max_size=60), PROSE).map(sound))
def test_text_and_markup_get_the_ids_of_harmony(tokenizer: Any, text: str) -> None:
    wanted = load_encoding().encode(text, allowed_special="all")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert ids == wanted
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_all_golden_cases_get_the_ids_of_harmony(tokenizer: Any) -> None:
    folder = ROOT / "src" / "magistrate" / "policies"
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))]
    for path in sorted((folder / "golden").glob("*.jsonl")):
        texts += path.read_text(encoding="utf-8").splitlines()
        texts += [text for line in path.read_text(encoding="utf-8").splitlines() for text in strings(json.loads(line))]
    assert len(texts) > 500
    for text in texts:
        assert tokenizer.encode(text, add_special_tokens=False).ids == load_encoding().encode(text), text[:60]


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def test_the_special_tokens_are_harmony_s(tokenizer: Any) -> None:
    for token, name in script.SPECIAL.items():
        assert tokenizer.token_to_id(name) == token
        if token != 200_018:  # gpt-oss calls it <|endofprompt|>, openai-harmony leaves it reserved
            assert load_encoding().encode(name, allowed_special="all") == [token]
    assert tokenizer.get_vocab_size() == 200_019


def test_what_is_written_for_transformers_agrees_with_itself(tmp_path: Path) -> None:
    config = script.model_config(mxfp4=False)
    assert config["vocab_size"] == script.VOCABULARY_SIZE > max(script.SPECIAL)
    assert config["layer_types"] == ["sliding_attention", "full_attention"] * 2
    assert set(script.generation_config()["eos_token_id"]) == {200_002, 199_999, 200_012}
