from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magistrate.case import Case
from magistrate.classifiers.screens import lists_file
from magistrate.classifiers.screens.lists import ListScreen, normal_form, text_hash
from magistrate.errors import InputError
from magistrate.policy.model import Policy
from magistrate.row import verdict_row
from magistrate.types import Abstained, Content, Decided, Message, Role, Severity, Target, Verdict

ADS = Policy.parse(
    "## Violates\n- A1. (high) Adverts.\n- A2. (low) Begging.\n\n## Allowed\n- B1. Known newsletters.\n", name="ads"
)
LISTS = """
name = "ads"

[[list]]
rule = "A1"
keywords = ["free followers", "Straße", "🔫", "無料", "viagra"]
patterns = ['bit\\.ly/(\\w+)', '(?i)whats\\s?app']
probability = 0.9

[[list]]
rule = "A2"
keywords = ["please give"]

[[list]]
rule = "B1"
hashes = ["HASH"]
keywords = ["weekly letter"]
"""
LETTER = "Our weekly letter: free followers of the garden club"


def lists(folder: Path, text: str = LISTS) -> Path:
    path = folder / "lists.toml"
    path.write_text(text.replace("HASH", text_hash(LETTER)), encoding="utf-8")
    return path


@pytest.fixture
def screen(tmp_path: Path) -> ListScreen:
    return ListScreen(lists(tmp_path))


def judged(screen: ListScreen, *contents: Content | str, policy: Policy = ADS) -> list[Verdict]:
    cases = [Case(policy, Content.of_text(one) if isinstance(one, str) else one) for one in contents]

    async def run() -> list[Verdict]:
        async with screen:
            return await screen.judge_many(cases)

    found = asyncio.run(run())
    for verdict in found:
        verdict_row("x", verdict)
    return found


@pytest.mark.parametrize(
    ("text", "rule", "found"),
    [
        ("Get FREE Followers now", "A1", "FREE Followers"),
        ("get free-followers", "A1", "free-followers"),
        ("STRASSE 7", "A1", "STRASSE"),
        ("see straße", "A1", "straße"),
        ("I bring my 🔫", "A1", "🔫"),
        ("今日無料です", "A1", "無料"),
        ("é go to bit.ly/Ab9 or bit.ly/x", "A1", "bit.ly/Ab9"),
        ("ask on WhatsApp", "A1", "WhatsApp"),
        ("please give", "A2", "please give"),
        ("v.i.a.g.r.a for all", "A1", "v.i.a.g.r.a"),
        ("v1agra here", "A1", "v1agra"),
        ("vi\u200bagra here", "A1", "vi\u200bagra"),
    ],
)
def test_a_hit_names_its_rule_and_place(screen: ListScreen, text: str, rule: str, found: str) -> None:
    (verdict,) = judged(screen, text)
    assert isinstance(verdict, Decided)
    assert verdict.violation
    assert verdict.rule_ids[0] == rule
    span = verdict.evidence[0].span
    assert span is not None
    assert text[span.start : span.end] == found
    assert verdict.rationale.startswith(f"{rule}: ")


@pytest.mark.parametrize(
    "text", ["carefree followers", "free of followers", "viagrax", "free\n\n\n\nfollowers", "", "\ud800"]
)
def test_what_is_no_hit_is_abstained_from(screen: ListScreen, text: str) -> None:
    (verdict,) = judged(screen, text)
    assert isinstance(verdict, Abstained)
    assert "says nothing of the rest" in verdict.detail


def test_a_verdict_has_severity_label_and_the_measured_probability_of_its_list(screen: ListScreen) -> None:
    first, second = judged(screen, "viagra, please give", "please give")
    assert isinstance(first, Decided)
    assert isinstance(second, Decided)
    assert (first.rule_ids, first.severity, first.probability) == (("A1", "A2"), Severity.HIGH, 0.9)
    assert (second.severity, second.probability, second.label) == (Severity.LOW, None, "violates")


def test_violating_words_decide_before_allowed_words_and_a_known_text_before_both(screen: ListScreen) -> None:
    words, known, allowed = judged(screen, "weekly letter: viagra", f"  {LETTER.upper()}\n", "the weekly letter")
    assert isinstance(words, Decided)
    assert isinstance(known, Decided)
    assert isinstance(allowed, Decided)
    assert words.violation
    assert (known.violation, known.rule_ids, known.severity) == (False, ("B1",), None)
    assert not allowed.violation


def test_lists_for_rules_of_another_policy_are_passed_over(screen: ListScreen) -> None:
    other = Policy.parse("## Violates\n- A2. Begging.\n\n## Allowed\n- C1. All else.\n", name="begging")
    none = Policy.parse("## Violates\n- Z1. Insults.\n\n## Allowed\n- C1. All else.\n", name="insults")
    (verdict,) = judged(screen, "viagra, please give", policy=other)
    assert isinstance(verdict, Decided)
    assert verdict.rule_ids == ("A2",)
    (nothing,) = judged(screen, "viagra", policy=none)
    assert isinstance(nothing, Abstained)
    assert "none of the rules A1, A2, B1" in nothing.detail


def test_only_judged_messages_are_looked_at_and_named(screen: ListScreen) -> None:
    chat = [Message(Role.USER, "viagra?"), Message(Role.ASSISTANT, "no"), Message(Role.USER, "go to bit.ly/ab")]
    whole, reply = judged(screen, Content.of_chat(chat), Content.of_chat(chat, Target.ASSISTANT))
    assert isinstance(whole, Decided)
    assert {one.span.message for one in whole.evidence if one.span is not None} == {0, 2}
    assert isinstance(reply, Abstained)


def test_no_text_and_no_pattern_makes_it_hang(tmp_path: Path) -> None:
    """Python's `re` takes longer than the universe for each of these."""
    evil = ["(a+)+$b", "(a|aa)+b", "(.*a){12}b", "([a-z]+)*\\\\d\\\\d"]
    text = 'name = "evil"\n[[list]]\nrule = "A1"\npatterns = [' + ", ".join(f'"{one}"' for one in evil) + "]\n"
    screen = ListScreen(lists(tmp_path, text))
    started = time.process_time()
    judged(screen, "a" * 50_000 + "!", "ab" * 20_000)
    assert time.process_time() - started < 10


PLAIN = re.compile(r"\w+")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    before=st.text("ab éß-.\n日😀", max_size=12),
    after=st.text("ab éß-.\n日😀", max_size=12),
    word=st.sampled_from(["xyq", "Qué"]),
)
def test_keywords_are_found_where_words_begin_and_end(tmp_path: Path, before: str, after: str, word: str) -> None:
    screen = ListScreen(lists(tmp_path, f'name = "w"\n[[list]]\nrule = "A1"\nkeywords = ["{word}"]\n'))
    text = before + word.upper() + after
    ((*hits,),) = screen.hits([Content.of_text(text)])
    plain = [hit for hit in hits if not hit.disguised]
    whole = any(match[0].casefold() == word.casefold() for match in PLAIN.finditer(text))
    assert bool(plain) == whole
    for hit in plain:
        assert hit.span is not None
        assert text[hit.span.start : hit.span.end].casefold() == word.casefold()


@given(text=st.text(max_size=60))
def test_the_normal_form_is_stable_and_blind_to_case_and_spaces(text: str) -> None:
    form = normal_form(text)
    assert normal_form(f"  {form}\n") == form
    assert normal_form(f" {text}\t") == form


def refused(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        ListScreen(lists(folder, text))
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "list"),
        ('[[list]]\nrule = "A1"\n', "nothing is looked for"),
        ('[[list]]\nkeywords = ["a"]\n', "rule"),
        ('[[list]]\nrule = "A1"\nkeywords = [" "]\n', "1 to 1,000 characters"),
        ('[[list]]\nrule = "A1"\nhashes = ["abc"]\n', "no SHA-256"),
        ('[[list]]\nrule = "A1"\npatterns = ["("]\n', "cannot be used"),
        ('[[list]]\nrule = "A1"\npatterns = ["(?=a)b"]\n', "no look-around"),
        ('[[list]]\nrule = "A1"\npatterns = ["a*"]\n', "empty text"),
        ('[[list]]\nrule = "A1"\nkeywords = ["a"]\nprobability = 2\n', "probability"),
        ('[[list]]\nrule = "A1"\nkeyword = ["a"]\n', "keyword"),
    ],
)
def test_files_that_cannot_be_used_are_refused_and_say_why(tmp_path: Path, body: str, said: str) -> None:
    assert said in refused(tmp_path, f'name = "x"\n{body}')


def test_files_that_are_none_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no TOML" in refused(tmp_path, "{")
    with pytest.raises(InputError, match="cannot read"):
        ListScreen(tmp_path / "none.toml")
    monkeypatch.setattr(lists_file, "LARGEST_FILE", 10)
    assert "more than 10 bytes" in refused(tmp_path, LISTS)
    monkeypatch.setattr(lists_file, "LARGEST_FILE", 10_000)
    many = json.dumps([f"a{number}" for number in range(1001)])
    assert "more than 1,000 patterns" in refused(tmp_path, f'name = "x"\n[[list]]\nrule = "A1"\npatterns = {many}\n')


def test_the_name_changes_with_the_file(tmp_path: Path) -> None:
    first = ListScreen(lists(tmp_path)).name
    assert ListScreen(lists(tmp_path, LISTS + "\n# more\n")).name != first
