from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.classifiers.screens.folder import (
    HEAD,
    LARGEST_FILE,
    SETTINGS,
    Head,
    ScreenFolder,
    ScreenKind,
    ScreenSettings,
    is_screen_folder,
    read_screen_folder,
    write_screen_folder,
)
from magistrate.classifiers.screens.reading import StaticReader, Vectors
from magistrate.classifiers.screens.trained import TrainedScreen, judged_text
from magistrate.encoders.static import StaticEncoder
from magistrate.errors import BackendError
from magistrate.policy.model import Policy
from magistrate.row import verdict_row
from magistrate.types import Abstained, Code, Content, Decided, Message, Role, Target, Verdict

ADS = Policy.parse("## Violates\n- A1. Adverts.\n\n## Allowed\n- B1. Questions.\n", name="ads")
OTHER = Policy.parse("## Violates\n- A1. Insults.\n\n## Allowed\n- B1. Questions.\n", name="insults")
TEXTS = ["buy cheap gold rings", "where is my order", "", "gold " * 400, "hello gold rings thanks"]


@pytest.fixture(scope="module")
def reader() -> StaticReader:
    return StaticReader().__enter__()


def settings_of(**changes: object) -> ScreenSettings:
    values: dict[str, object] = {
        "kind": ScreenKind.STATIC,
        "vectors": StaticEncoder().name,
        "policy": ADS.name,
        "policy_digest": ADS.digest,
        "threshold": 0.4,
        "cases": 500,
        "violations": 100,
        "made": date(2026, 1, 2),
    }
    return ScreenSettings(**{**values, **changes})  # type: ignore[arg-type]


def head_of(reader: StaticReader, word: str = "gold", weight: float = 3.0) -> Head:
    """Speaks for what is like a word, and more for the word itself."""
    (vector,) = reader.encoder.encode([word])
    tokens = np.zeros(reader.vocabulary, np.float32)
    tokens[next(reader.encoder.windows([word])).ids] = weight
    return Head((vector * weight).astype(np.float32), tokens, -1.0)


@pytest.fixture
def folder(tmp_path: Path, reader: StaticReader) -> Path:
    write_screen_folder(tmp_path / "screen", ScreenFolder(settings=settings_of(), head=head_of(reader)))
    return tmp_path / "screen"


def judged(classifier: Classifier, cases: list[Case]) -> list[Verdict]:
    async def run() -> list[Verdict]:
        async with classifier:
            return await classifier.judge_many(cases)

    return asyncio.run(run())


def of_texts(*texts: str, policy: Policy = ADS) -> list[Case]:
    return [Case(policy, Content.of_text(text)) for text in texts]


def test_it_decides_by_its_threshold_and_names_the_words_that_speak(folder: Path) -> None:
    violating, allowed = judged(TrainedScreen(folder), of_texts("buy cheap gold rings", "where is my order"))
    assert isinstance(violating, Decided)
    assert isinstance(allowed, Decided)
    assert (violating.violation, violating.label) == (True, "violates")
    assert violating.probability is not None
    assert violating.probability >= 0.4
    assert "loudest for a violation: 'gold'" in violating.rationale
    assert (allowed.violation, allowed.rule_ids) == (False, ())
    assert "gold" not in allowed.rationale


def test_verdicts_do_not_depend_on_what_else_is_judged(folder: Path) -> None:
    cases = of_texts(*TEXTS)
    together = judged(TrainedScreen(folder), cases)
    for case, verdict in zip(cases, together, strict=True):
        (alone,) = judged(TrainedScreen(folder), [case])
        assert isinstance(verdict, Decided)
        assert isinstance(alone, Decided)
        assert alone.probability == pytest.approx(verdict.probability, abs=1e-6)
        assert alone.rationale == verdict.rationale
    for verdict in together:
        verdict_row("x", verdict)


def test_another_policy_is_abstained_from_and_says_so(folder: Path) -> None:
    mine, other = judged(TrainedScreen(folder), [*of_texts("gold"), *of_texts("gold", policy=OTHER)])
    assert isinstance(mine, Decided)
    assert isinstance(other, Abstained)
    assert (other.code, other.trace.policy_digest) == (Code.UNSURE, OTHER.digest)
    assert "trained for policy 'ads'" in other.detail


def test_another_version_of_the_policy_is_another_policy(folder: Path) -> None:
    newer = Policy.parse(ADS.text + "- B2. Thanks.\n", name="ads")
    (verdict,) = judged(TrainedScreen(folder), of_texts("gold", policy=newer))
    assert isinstance(verdict, Abstained)
    assert "in another version" in verdict.detail


def test_padding_does_not_drown_out_what_it_is_trained_to_see(folder: Path) -> None:
    harmless = "the committee met on tuesday and discussed the new lanes near the river "
    short, padded = judged(TrainedScreen(folder), of_texts("gold gold gold", harmless * 40 + "gold gold gold " * 12))
    assert isinstance(short, Decided)
    assert isinstance(padded, Decided)
    assert padded.violation
    assert short.violation


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text("goldring shop?!#é ", max_size=80), min_size=1, max_size=5))
def test_the_shares_of_all_words_add_up_to_the_log_odds(texts: list[str]) -> None:
    reader = StaticReader().__enter__()
    head = head_of(reader)
    heard = reader.hear(texts, head)
    whole = reader.vectors(texts).log_odds(head)
    np.testing.assert_allclose(heard.log_odds, whole, atol=1e-5)
    for words, log_odds in zip(heard.words, heard.log_odds, strict=True):
        if len(words) < 8:  # all of them
            assert sum(share for _, share in words) + head.bias == pytest.approx(log_odds, abs=1e-4)


def test_some_texts_of_many_weigh_as_they_do_alone(reader: StaticReader) -> None:
    head = head_of(reader)
    vectors = reader.vectors(TEXTS)
    some = vectors.of_texts(np.array([3, 1]))
    np.testing.assert_allclose(some.log_odds(head), vectors.log_odds(head)[[1, 3]], atol=1e-6)
    whole = vectors.whole()
    assert isinstance(whole, Vectors)
    assert whole.rows.shape[0] == len(TEXTS)
    np.testing.assert_allclose(whole.rows[0], vectors.rows[0], atol=1e-6)


def test_a_chat_is_read_by_its_judged_messages() -> None:
    chat = [Message(Role.USER, "one"), Message(Role.ASSISTANT, "two"), Message(Role.USER, "three")]
    assert judged_text(Content.of_chat(chat)) == "one\ntwo\nthree"
    assert judged_text(Content.of_chat(chat, Target.USER)) == "three"


def test_a_screen_is_read_as_it_was_written(folder: Path, reader: StaticReader) -> None:
    found = read_screen_folder(folder)
    assert is_screen_folder(folder)
    assert found.settings == settings_of()
    np.testing.assert_array_equal(found.head.weights, head_of(reader).weights)
    np.testing.assert_array_equal(found.head.tokens, head_of(reader).tokens)
    assert found.name.startswith("screen/ads/static/")


def test_the_name_changes_with_whatever_changes_a_verdict(reader: StaticReader) -> None:
    head = head_of(reader)
    names = {
        ScreenFolder(settings=settings_of(), head=head).name,
        ScreenFolder(settings=settings_of(threshold=0.5), head=head).name,
        ScreenFolder(settings=settings_of(policy_digest=OTHER.digest), head=head).name,
        ScreenFolder(settings=settings_of(), head=Head(head.weights * 2, head.tokens, head.bias)).name,
        ScreenFolder(settings=settings_of(), head=Head(head.weights, head.tokens * 2, head.bias)).name,
        ScreenFolder(settings=settings_of(), head=Head(head.weights, head.tokens, 0.0)).name,
    }
    assert len(names) == 6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": 0}, "threshold"),
        ({"kind": "magic"}, "kind"),
        ({"policy_digest": "sha256:12"}, "policy_digest"),
        ({"form": "screen.v9"}, "form"),
        ({"more": 1}, "more"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(folder: Path, changes: dict[str, object], said: str) -> None:
    values = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    (folder / SETTINGS).write_text(json.dumps({**values, **changes}), encoding="utf-8")
    with pytest.raises(BackendError, match=said):
        TrainedScreen(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": np.full(256, np.nan)}, "not finite"),
        ({"tokens": np.full(30522, np.inf)}, "not finite"),
        ({"bias": np.array(np.nan)}, "not finite"),
        ({"weights": np.ones((2, 2))}, "two rows"),
        ({"weights": np.ones(7)}, "7 weights"),
        ({"tokens": np.ones(7)}, "7 of tokens"),
        ({"bias": np.array("x")}, "cannot be read"),
    ],
)
def test_heads_that_cannot_be_used_are_refused(folder: Path, changes: dict[str, np.ndarray], said: str) -> None:
    good = {"weights": np.ones(256), "tokens": np.ones(30522), "bias": np.array(0.0)}
    given = {**good, **changes}
    np.savez_compressed(folder / HEAD, weights=given["weights"], tokens=given["tokens"], bias=given["bias"])
    with pytest.raises(BackendError, match=said):
        TrainedScreen(folder)


def test_a_head_that_unpacks_to_far_too_much_is_refused_before_it_does(folder: Path) -> None:
    np.savez_compressed(folder / HEAD, weights=np.zeros(50_000_000, np.float32), tokens=np.ones(1), bias=np.array(0.0))
    assert (folder / HEAD).stat().st_size < LARGEST_FILE
    with pytest.raises(BackendError, match="bytes, unpacked"):
        TrainedScreen(folder)


def test_files_that_are_missing_or_large_are_refused(folder: Path) -> None:
    (folder / HEAD).write_bytes(b"0" * (LARGEST_FILE + 1))
    with pytest.raises(BackendError, match="more than"):
        TrainedScreen(folder)
    (folder / HEAD).unlink()
    with pytest.raises(BackendError, match="is no screen"):
        TrainedScreen(folder)


def test_a_screen_of_other_vectors_is_refused(folder: Path, reader: StaticReader) -> None:
    write_screen_folder(folder, ScreenFolder(settings=settings_of(vectors="old.v0"), head=head_of(reader)))
    with pytest.raises(BackendError, match=r"old\.v0"):
        TrainedScreen(folder)


def test_an_encoder_screen_reads_states_and_names_no_words(tmp_path: Path) -> None:
    from magistrate.encoders.minilm import MiniLmEncoder

    with MiniLmEncoder() as encoder:
        (state,) = encoder.encode(["cheap gold rings"])
    direction = (state / np.linalg.norm(state)).astype(np.float32)
    folder = ScreenFolder(
        settings=settings_of(kind=ScreenKind.ENCODER, vectors=MiniLmEncoder().name),
        head=Head(direction * 10, np.zeros(0, np.float32), -8.0),
    )
    write_screen_folder(tmp_path, folder)
    near, far = judged(TrainedScreen(tmp_path), of_texts("cheap gold rings", "where is my parcel"))
    assert isinstance(near, Decided)
    assert isinstance(far, Decided)
    assert near.violation
    assert near.probability is not None
    assert far.probability is not None
    assert near.probability > far.probability
    assert "loudest" not in near.rationale
