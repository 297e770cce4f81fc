"""What stops a prompt on its way, and what is kept of it."""

from __future__ import annotations

import random

import pytest

from magistrate.backends.engine import Prompt
from magistrate.backends.held_words import HeldWords
from magistrate.backends.writing import Writing
from magistrate.types import FinishReason, TokenLogprob

STOP = 9
LIKELIEST = (TokenLogprob("x", -0.5),)


def written(tokens: list[int], *, held: HeldWords | None = None, budget: int = 4, top: int = 0) -> Writing[HeldWords]:
    """A prompt that takes tokens until one ends it."""
    prompt = Prompt(token_ids=(1,), max_output_tokens=budget, top_logprobs=top)
    one = Writing(prompt=prompt, temperature=0.0, chances=random.Random(0), stops=frozenset([STOP]), held=held)
    for token in tokens:
        if one.finish is None:
            one.take(token, LIKELIEST)
    return one


@pytest.mark.parametrize(
    ("tokens", "output", "finish", "stopped_by"),
    [
        ([2, 3], (2, 3), FinishReason.OTHER, None),
        ([2, STOP, 3], (2,), FinishReason.STOP, STOP),
        ([2, 3, 4, 5, 6], (2, 3, 4, 5), FinishReason.LENGTH, None),
        ([2, 3, 4, STOP], (2, 3, 4), FinishReason.STOP, STOP),
    ],
)
def test_a_stop_or_the_budget_ends_it(
    tokens: list[int], output: tuple[int, ...], finish: FinishReason, stopped_by: int | None
) -> None:
    found = written(tokens).generated()
    assert (found.token_ids, found.finish_reason, found.stopped_by) == (output, finish, stopped_by)


def test_a_whole_form_ends_it_even_at_the_last_token_of_the_budget() -> None:
    found = written([2, 3, 4], held=HeldWords([(2, 3)], [STOP]), budget=2).generated()
    assert (found.token_ids, found.finish_reason, found.stopped_by) == ((2, 3), FinishReason.STOP, None)


def test_alternatives_are_kept_where_they_are_asked_for_one_for_each_token() -> None:
    assert written([2, 3, STOP], top=1).generated().logprobs == (LIKELIEST, LIKELIEST)
    assert written([2, 3, STOP]).generated().logprobs == ()
