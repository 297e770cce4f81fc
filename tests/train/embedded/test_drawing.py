from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from magistrate.evaluate.dataset import MayTrain
from magistrate.train.embedded.composing import Composition
from magistrate.train.embedded.drawing import Drawer, Mixture
from magistrate.train.embedded.families import Family, read_families
from magistrate.train.embedded.variants import Change

AS_THEY_ARE = Composition(planted=0, joined=0, disguised=0, ordered=0)


def families(corpus: Path) -> tuple[Family, ...]:
    return read_families([corpus], may_train=frozenset(MayTrain))


def test_a_step_depends_on_seed_and_number_alone(corpus: Path) -> None:
    read = families(corpus)
    one, two, other = (Drawer(read, {}, Mixture(contents=4), seed) for seed in (1, 1, 2))
    steps = [one.draw(step) for step in range(8)]
    assert [two.draw(step) for step in reversed(range(8))] == steps[::-1]
    assert [other.draw(step) for step in range(8)] != steps
    assert one.identity == two.identity != other.identity


def test_unchanged_policies_keep_their_labels(corpus: Path) -> None:
    (family,) = families(corpus)
    drawer = Drawer([family], {}, Mixture(contents=6, changes={Change.NONE: 1.0}, composition=AS_THEY_ARE), 0)
    rulings = {case.content: case.rulings for case in family.cases}
    for step in range(10):
        draw = drawer.draw(step)
        assert len(set(draw.contents)) == len(draw.contents)
        for hearing in draw.hearings:
            assert hearing.labels == tuple(rulings[content][hearing.name].violation for content in draw.contents)
            assert hearing.rules == tuple(rulings[content][hearing.name].rule_ids[0] for content in draw.contents)


def test_an_unrelated_policy_is_broken_by_nothing_and_weighs_less(corpus: Path) -> None:
    (family,) = families(corpus)
    other = replace(family, name="other", policies=family.policies[:1])
    mixture = Mixture(contents=4, policies=1, unrelated=1, unrelated_weight=0.25)
    drawer = Drawer([family], {family.name: [other]}, mixture, 0)
    *_, last = drawer.draw(1).hearings
    assert (last.name, last.weight, set(last.labels)) == ("manners", 0.25, {False})


def test_a_content_of_two_cases_breaks_what_either_breaks(corpus: Path) -> None:
    (family,) = families(corpus)
    changes = {Change.NONE: 1.0}
    joined = Composition(planted=0, joined=1, disguised=0, ordered=0)
    drawer = Drawer([family], {}, Mixture(contents=6, changes=changes, composition=joined), 0)
    texts = {case.content.messages[0].content: case.rulings for case in family.cases}
    seen = 0
    for step in range(10):
        draw = drawer.draw(step)
        for place, content in enumerate(draw.contents):
            inside = [rulings for text, rulings in texts.items() if text in content.messages[0].content]
            seen += len(inside) == 2
            for hearing in draw.hearings:
                assert hearing.labels[place] == any(rulings[hearing.name].violation for rulings in inside)
                assert len(inside) == 1 or hearing.rules[place] is None
    assert seen > 10
