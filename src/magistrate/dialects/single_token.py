"""Dialects of classifiers that answer with one token, whose log-probabilities give the probability of a violation.

The prompts are those that the families were trained on, with two deviations: the content stands in its fence, and
ShieldGemma is asked for the word alone. The answer must end by itself: a model that goes on is cut off, and what is
cut off is no verdict.

The probability is the share of the violating side among the alternatives of the first token, summed over case,
blanks and the pieces that a vocabulary cuts a word into. Where only one side is among the alternatives, the other is
given the most that it can have: the smaller of the rarest alternative and of what they leave. Without
log-probabilities there is none, and the word decides.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from magistrate.dialects.answers import answers_of, default_label, gravest
from magistrate.dialects.base import Needs
from magistrate.dialects.channels import split_channels
from magistrate.dialects.fence import fence, neutralise
from magistrate.dialects.plain import is_label_shaped
from magistrate.dialects.prepared import per_policy
from magistrate.dialects.reading import Found, Problem, Reading, verdict_of
from magistrate.dialects.refusal import DETAIL, is_refusal
from magistrate.policy.model import Polarity, Policy, Rule
from magistrate.types import (
    Choices,
    Code,
    Completion,
    Constraint,
    Content,
    Effort,
    Message,
    Request,
    Role,
    Sampling,
    Target,
    TokenLogprob,
    Verdict,
)

TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleToken:
    """A family of one-token classifiers."""

    name: str
    yes: str
    """The word for a violation, lower-case."""
    no: str
    prompt: Callable[[Policy, Content], tuple[Message, ...]]
    max_output_tokens: int
    """Room for the word, codes where the family gives them, and the end of the turn."""
    choices: tuple[str, ...] = ()
    """The two words as the family writes them; empty where more may follow them."""

    @property
    def needs(self) -> Needs:
        """Log-probabilities, for a probability."""
        return Needs(logprobs=True)

    def render(self, policy: Policy, content: Content, *, effort: Effort | None = None) -> Request:
        """Build the family's prompt. These models do not reason: an effort changes nothing."""
        return Request(
            messages=self.prompt(policy, content),
            sampling=Sampling(max_output_tokens=self.max_output_tokens, temperature=0.0, top_logprobs=TOP_LOGPROBS),
            constraint=Constraint(form=Choices(self.choices)) if self.choices else None,
        )

    def parse(self, policy: Policy, completion: Completion) -> Verdict:
        """Read the word and, where they are reported, the alternatives to its first token."""
        return verdict_of(
            policy,
            completion,
            dialect=self.name,
            channels=split_channels(completion.final, completion.reasoning),
            read=functools.partial(self._read, completion.first_token),
        )

    def repair(self, policy: Policy, request: Request, completion: Completion, code: Code) -> Request | None:
        """None: these models know one turn."""
        return None

    def _read(self, alternatives: tuple[TokenLogprob, ...], policy: Policy, text: str) -> Reading:
        first, _, rest = text.partition("\n")
        word = first.strip(_EDGES).casefold()
        codes = [code for code in re.split(r"[\s,;]+", rest) if code]
        if word not in (self.yes, self.no):
            return self._unreadable(policy, text)
        cited = [rule for code in codes if (rule := _cited(policy, code)) is not None]
        if (word == self.no and cited) or ({self.yes, self.no} - {word}) & {code.casefold() for code in codes}:
            return Problem(Code.CONTRADICTORY, "what follows the first line contradicts it")
        probability = violation_probability(alternatives, yes=self.yes, no=self.no)
        violation = word == self.yes if probability is None else probability >= _THRESHOLD
        meanings = [meaning for rule in cited if (meaning := answers_of(policy).get(rule.id)) is not None]
        return Found(
            violation=violation,
            label=cited[0].label if violation and cited else default_label(policy, violation=violation),
            rule_ids=tuple(dict.fromkeys(rule.id for rule in cited)) if violation else (),
            severity=gravest(meaning.severity for meaning in meanings) if violation else None,
            probability=probability,
        )

    def _unreadable(self, policy: Policy, text: str) -> Problem:
        if is_refusal(text):
            return Problem(Code.REFUSAL, DETAIL)
        if is_label_shaped(answers_of(policy), text):
            return Problem(Code.UNKNOWN_LABEL, f"the answer is neither {self.yes!r} nor {self.no!r}")
        if re.match(rf"\W*(?:{self.yes}|{self.no})\b", text, re.IGNORECASE):
            return Problem(Code.MALFORMED, "more than the one word was answered")
        return Problem(Code.ANSWERED_CONTENT, "the model answered the content instead of judging it")


def violation_probability(alternatives: tuple[TokenLogprob, ...], *, yes: str, no: str) -> float | None:
    """P(yes) / (P(yes) + P(no)) from the alternatives of the first token; None where neither is among them.

    Args:
        alternatives: As reported, any order.
        yes: The word for a violation, lower-case.
        no: The other word, lower-case.
    """
    masses = {yes: 0.0, no: 0.0}
    chances = [math.exp(min(0.0, a.logprob)) for a in alternatives]
    for alternative, chance in zip(alternatives, chances, strict=True):
        token = alternative.token.strip(_EDGES + "▁Ġ").casefold()
        sides = [word for word in (yes, no) if token and word.startswith(token)]
        if len(sides) == 1:
            masses[sides[0]] += chance
    if not any(masses.values()):
        return None
    most_missing = min(min(chances), max(0.0, 1.0 - sum(chances)))
    violating, allowed = (mass or most_missing for mass in (masses[yes], masses[no]))
    return violating / (violating + allowed)


def _cited(policy: Policy, code: str) -> Rule | None:
    """The rule that a code names: its own id, or its place among the categories of the prompt, S1 for the first."""
    rule = policy.rule(code)
    if rule is not None:
        return rule if rule.polarity is Polarity.VIOLATES else None
    place = re.fullmatch(r"[Ss](\d{1,4})", code)
    rules = _violating(policy)
    return rules[int(place[1]) - 1] if place and 1 <= int(place[1]) <= len(rules) else None


@per_policy
def _violating(policy: Policy) -> tuple[Rule, ...]:
    return tuple(rule for rule in policy.rules if rule.polarity is Polarity.VIOLATES)


_EDGES = " \t\r\n*_`\"'“”‘’.,:;!()[]"
_THRESHOLD = 0.5


def _cope(policy: Policy, content: Content) -> tuple[Message, ...]:
    """CoPE: one message of four sections. Source: the model card of zentropi-ai/cope-b-a4b."""
    return (Message(Role.USER, f"{_cope_head(policy)}{fence(content)}\n\n\nANSWER\n======\n\n"),)


@per_policy
def _cope_head(policy: Policy) -> str:
    return (
        "INSTRUCTIONS\n============\n\nExamine the given POLICY and determine if the given CONTENT meets the criteria "
        'for ANY of the LABELS. Answer "1" if yes, and "0" if no.\n\n\n'
        f"POLICY\n======\n\n{neutralise(policy.text.strip())}\n\n\nCONTENT\n=======\n\n"
    )


def _shieldstral(policy: Policy, content: Content) -> tuple[Message, ...]:
    """Shieldstral: instruction, query, document. Source: the evaluation of ROOST's cope-evaluation repository."""
    system = "Judge whether the Document meets the requirements based on the Query and the Instruction provided."
    return (
        Message(Role.SYSTEM, system),
        Message(Role.USER, f"{_shieldstral_head(policy)}{fence(content)}"),
    )


@per_policy
def _shieldstral_head(policy: Policy) -> str:
    return (
        "<Instruct>: You are a content safety classifier for an online platform. Judge the Document strictly "
        f"according to the policy below.\n\n{neutralise(policy.text.strip())}\n\n"
        "<Query>: Does the Document violate the policy?\n\n<Document>: "
    )


def _shieldgemma(policy: Policy, content: Content) -> tuple[Message, ...]:
    """ShieldGemma: trained with the content before the policy, so that servers cannot reuse the policy's part.

    Source: the model card of google/shieldgemma-2b, without its request to explain the answer.
    """
    subject = "chatbot response" if content.target is Target.ASSISTANT else "human question"
    text = (
        f"You are a policy expert trying to help determine whether a {subject} is in violation of the defined safety "
        f"policies.\n\n<start_of_turn>\n{fence(content)}\n<end_of_turn>\n\n"
        f"Our safety principle is defined in the below:\n\n{neutralise(policy.text.strip())}\n\n"
        f"Does the {subject} violate the above principles? Your answer must be exactly one word, 'Yes' or 'No'."
    )
    return (Message(Role.USER, text),)


def _llama_guard(policy: Policy, content: Content) -> tuple[Message, ...]:
    """Llama Guard with the policy's rules as its categories, S1 to Sn.

    The server must not wrap it in the model's own template, which would put the trained categories in front.

    Source: the prompt format of the model cards of Llama Guard 3 and 4.
    """
    role = "Agent" if content.target is Target.ASSISTANT else "User"
    text = (
        f"{_llama_guard_head(policy, role)}{fence(content)}\n\n<END CONVERSATION>\n\n"
        f"Provide your safety assessment for {role} in the above conversation:\n"
        "- First line must read 'safe' or 'unsafe'.\n"
        "- If unsafe, a second line must include a comma-separated list of violated categories."
    )
    return (Message(Role.USER, text),)


@per_policy
def _llama_guard_head(policy: Policy, role: str) -> str:
    categories = [f"S{place}: {' '.join(rule.text.split())}" for place, rule in enumerate(_violating(policy), 1)]
    # A policy without rules is one category as a whole.
    listed = "\n".join(categories) if categories else f"S1: {policy.text.strip()}"
    return (
        f"Task: Check if there is unsafe content in '{role}' messages in conversations according our safety policy "
        f"with the below categories.\n\n<BEGIN UNSAFE CONTENT CATEGORIES>\n{neutralise(listed)}\n"
        "<END UNSAFE CONTENT CATEGORIES>\n\n<BEGIN CONVERSATION>\n\n"
    )


COPE = SingleToken(name="cope.v1", yes="1", no="0", prompt=_cope, max_output_tokens=8, choices=("0", "1"))
SHIELDSTRAL = SingleToken(
    name="shieldstral.v1", yes="yes", no="no", prompt=_shieldstral, max_output_tokens=8, choices=("no", "yes")
)
SHIELDGEMMA = SingleToken(
    name="shieldgemma.v1", yes="yes", no="no", prompt=_shieldgemma, max_output_tokens=8, choices=("No", "Yes")
)
LLAMA_GUARD = SingleToken(name="llama_guard.v1", yes="unsafe", no="safe", prompt=_llama_guard, max_output_tokens=64)
