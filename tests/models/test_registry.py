from __future__ import annotations

import re

import pytest

from magistrate.dialects.registry import DIALECTS, dialect_named
from magistrate.errors import UsageError
from magistrate.models.profile import Engine, Profile
from magistrate.models.registry import profile_named, profiles


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("20b", "gpt-oss-safeguard-20b"),
        ("120B", "gpt-oss-safeguard-120b"),
        (" gpt-oss-safeguard-20b ", "gpt-oss-safeguard-20b"),
        ("openai/gpt-oss-safeguard-20b", "gpt-oss-safeguard-20b"),
        ("gpt-oss-safeguard:120b", "gpt-oss-safeguard-120b"),
        ("unsloth/gpt-oss-safeguard-20b-GGUF", "gpt-oss-safeguard-20b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("cope", "cope-b-a4b"),
    ],
)
def test_a_model_is_found_by_any_of_its_names(typed: str, name: str) -> None:
    assert profile_named(typed).name == name


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("20", "gpt-oss-safeguard-20b"), ("safegard-120b", "gpt-oss-safeguard-120b"), ("shieldgema", "shieldgemma-2b")],
)
def test_an_unknown_model_names_what_may_have_been_meant(typed: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        profile_named(typed)
    assert caught.value.hint is not None
    assert f"did you mean {meant!r}" in caught.value.hint or repr(meant) in caught.value.hint.partition("?")[0]
    assert all(profile.name in caught.value.hint for profile in profiles())


@pytest.mark.parametrize("typed", ["", "zzzzzz", "x" * 10_000])
def test_a_name_that_resembles_none_gets_no_guess_and_a_short_message(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        profile_named(typed)
    assert "did you mean" not in str(caught.value)
    assert len(caught.value.message) < 120


def test_no_two_models_share_a_name() -> None:
    names = [name.casefold() for profile in profiles() for name in (profile.name, *profile.aliases)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile.name)
def test_a_profile_is_consistent(profile: Profile) -> None:
    assert re.fullmatch(r"[a-z0-9.-]+", profile.name)
    assert profile.sources or profile.name == "any-chat-model"
    if profile.parameters is not None and profile.active_parameters is not None:
        assert profile.active_parameters <= profile.parameters
    for weights in profile.weights:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", weights.repo)
        assert weights.engines
        assert (weights.file is not None) == (Engine.LLAMACPP in weights.engines)
        assert weights.file is None or weights.file.endswith(".gguf")
        if weights.size_bytes is not None and profile.parameters is not None:
            bits = 8 * weights.size_bytes / profile.parameters
            assert 3 < bits < 17, "not the size of that many parameters"
        if weights.active_bytes is not None and weights.size_bytes is not None:
            assert weights.active_bytes < weights.size_bytes
    assert profile.dialect is not None or profile.notes, "says why it cannot judge"


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile.name)
def test_a_profile_names_dialects_that_are_there(profile: Profile) -> None:
    if profile.dialect is not None:
        assert not dialect_named(profile.dialect).needs.token_ids, "servers take messages"
    if profile.token_dialect is not None:
        assert DIALECTS[profile.token_dialect].needs.token_ids


def test_the_active_bytes_of_gpt_oss_follow_from_its_shape() -> None:
    # Source: the model card's table of parameters; 4.25 bits an expert's, 16 or 8.5 of the rest.
    for name, layers in (("20b", 24), ("120b", 36)):
        profile = profile_named(name)
        assert profile.active_parameters is not None
        experts = layers * 4 * 3 * 2880 * 2880
        rest = profile.active_parameters - experts
        for weights in profile.weights:
            bits = 8.5 if weights.file else 16
            expected = (experts * 4.25 + rest * bits) / 8
            assert weights.active_bytes == pytest.approx(expected, rel=0.02)


def test_forms_and_flags_are_found_by_engine() -> None:
    profile = profile_named("20b")
    assert [weights.quantisation for weights in profile.weights_for(Engine.VLLM)] == ["MXFP4"]
    assert profile.weights_for(Engine.OLLAMA) == ()
    assert "openai_gptoss" in profile.flags(Engine.VLLM)
    assert profile.flags(Engine.OLLAMA) == ()
    assert profile.served_name(Engine.OLLAMA) == "gpt-oss-safeguard:20b"
    assert profile.served_name(Engine.VLLM) is None
