"""Whether the reasoning behind a verdict can be trusted: what it cites, what it quotes, what it concludes.

Reasoning is no source of a verdict; it is what a person reads to believe one. Safeguard models cite rules that are not
there, quote policy text that nobody wrote, and now and then conclude the opposite of what they answer. Nothing here
asks a model. `docs/audit.md` says how well each sign finds wrong verdicts, and how that was measured.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from magistrate.classifiers.join import is_joined
from magistrate.dialects.answers import Kind, answers_of
from magistrate.dialects.multi import SAFEGUARD_MULTI
from magistrate.dialects.prepared import per_policy
from magistrate.policy.model import Policy
from magistrate.row import VerdictRow
from magistrate.types import Content, Decided, Trace, Verdict

AUDIT_VERSION = "audit.v1"
"""Of everything that is looked for here. It changes when the same reasoning would get another audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningAudit:
    """What was found in the reasoning of one verdict. Lists hold each thing once, in the order of the reasoning."""

    length: int
    """Characters. The longer a model thinks, the likelier it is wrong; how long is long differs by policy."""
    cited: tuple[str, ...]
    """Rules and labels of the policy that it names."""
    unknown_ids: tuple[str, ...]
    """Ids that look like the policy's and are in neither the policy nor the content: SP9, H2.f."""
    quotes: int
    """Quotations of three words or more."""
    invented_content: tuple[str, ...]
    """Quotations given as the content's that the content does not hold."""
    invented_policy: tuple[str, ...]
    """Quotations given as the policy's that the policy does not hold."""
    concluded: bool | None
    """The last verdict that it states: whether the content violates; None where it states none."""
    agrees: bool | None
    """Whether that is the verdict; None where one of the two is missing, or the reasoning is about several."""
    turns: int
    """How often it changes its mind from one stated verdict to the next."""
    doubts: int
    """Words of doubt: wait, actually, however, maybe, not sure."""
    acts: int
    """Signs that it answers the content, or plans to refuse it, instead of judging it."""
    repeated: float
    """Share of its sentences that it has said before, in [0, 1]."""
    score: float
    """How suspect the reasoning is, in [0, 1]: a rank, not a probability of an error."""
    reasons: tuple[str, ...]
    """What makes the score, worst first; empty where nothing was found."""


def audit_reasoning(policy: Policy, content: Content, verdict: Verdict) -> ReasoningAudit:
    """Look through the reasoning of a verdict.

    Args:
        policy: What was judged by.
        content: What was judged.
        verdict: Any verdict; one without reasoning gets a score of 0 and no reasons.

    >>> from magistrate.types import Trace
    >>> policy = Policy.parse("## Violates\\n- SP1. Adverts.\\n\\n## Safe\\n- SPA1. Questions.", name="spam")
    >>> trace = Trace(
    ...     policy="spam", policy_digest=policy.digest, model="m", dialect="d", reasoning="Rule SP7. So output 0."
    ... )
    >>> verdict = Decided(
    ...     violation=True, label="violates", rule_ids=(), severity=None, probability=None, rationale="", trace=trace
    ... )
    >>> audit = audit_reasoning(policy, Content.of_text("Buy now"), verdict)
    >>> audit.reasons
    ('concludes no violation, and the verdict is a violation', 'cites what the policy does not have: SP7')
    """
    return _audit(policy, content, verdict.trace, verdict.violation if isinstance(verdict, Decided) else None)


def audit_row(policy: Policy, content: Content, row: VerdictRow) -> ReasoningAudit:
    """Look through the reasoning of a verdict that was written down; the same as of the verdict itself."""
    trace = Trace(
        policy=row.policy,
        policy_digest=row.policy_digest,
        model=row.model,
        dialect=row.dialect,
        reasoning=row.reasoning,
    )
    return _audit(policy, content, trace, row.violation)


def _audit(policy: Policy, content: Content, trace: Trace, violation: bool | None) -> ReasoningAudit:
    reasoning = trace.reasoning
    content_text = "\n".join(message.content for message in content.messages)
    cited, unknown = _citations(policy, content_text, reasoning)
    quotes, of_content, of_policy = _quotations(policy, content_text, reasoning)
    folded = reasoning.casefold()  # once: patterns that ignore case are slower
    stated = _stated(policy, folded)
    concluded = stated[-1] if stated else _implied(folded)
    about_one = not is_joined(trace) and trace.dialect != SAFEGUARD_MULTI.name
    comparable = about_one and concluded is not None and violation is not None
    found = ReasoningAudit(
        length=len(reasoning),
        cited=cited,
        unknown_ids=unknown,
        quotes=quotes,
        invented_content=of_content,
        invented_policy=of_policy,
        concluded=concluded,
        agrees=violation is concluded if comparable else None,
        turns=sum(a is not b for a, b in itertools.pairwise(stated)) if about_one else 0,
        doubts=len(_DOUBTS.findall(folded)),
        acts=len(_ACTS.findall(folded)),
        repeated=_repeated(folded),
        score=0.0,
        reasons=(),
    )
    signs = sorted(_signs(found), reverse=True)
    score = 1.0 - math.prod(1.0 - weight for weight, _ in signs)
    return replace(found, score=score, reasons=tuple(reason for _, reason in signs))


_SHORT = 250
_LONG = 8_000
"""Characters. From the first on length counts, at the second it counts in full. Published medians for
gpt-oss-safeguard-20b on ToxicChat: 213 where it is right, 3,035 where it is wrong."""


def _signs(found: ReasoningAudit) -> Iterator[tuple[float, str]]:
    """What speaks against the reasoning, each with its weight in (0, 1). The weights are set, not fitted."""
    if found.agrees is False:
        said, was = ("a violation", "none") if found.concluded else ("no violation", "a violation")
        yield 0.9, f"concludes {said}, and the verdict is {was}"
    if found.unknown_ids:
        yield 0.5, f"cites what the policy does not have: {_listed(found.unknown_ids)}"
    if found.invented_policy:
        weight = 1 - 0.6 ** min(len(found.invented_policy), 4)
        yield weight, f"quotes what the policy does not say: {_listed(found.invented_policy)}"
    if found.acts:
        yield 1 - 0.7 ** min(found.acts, 4), "answers or refuses the content instead of judging it"
    if found.turns:
        yield 1 - 0.75 ** min(found.turns, 4), f"changes its mind {found.turns} times"
    if found.repeated > _LOOP:
        yield 0.3, f"repeats itself: {found.repeated:.0%} of its sentences"
    if found.invented_content:
        yield 0.2, f"quotes what the content does not say: {_listed(found.invented_content)}"
    if found.length > _SHORT:
        long = min(1.0, math.log(found.length / _SHORT) / math.log(_LONG / _SHORT))
        yield 0.8 * long, f"is long: {found.length:,} characters"


_LOOP = 0.2
_MOST_LISTED = 3


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(name if len(name) <= 60 else f"{name[:59]}…" for name in names[:_MOST_LISTED])
    return f"{shown}, …" if len(names) > _MOST_LISTED else shown


_CODE = re.compile(r"(?<![\w.-])(?:[DR]-)?([A-Z]{1,6})-?\d{1,3}(\.[a-z0-9]{1,3})?(?![\w-])")
_BEFORE_CODE = re.compile(r"\b(?:rules?|categor(?:y|ies)|sections?|labels?|clauses?|codes?)\W{1,3}\Z", re.IGNORECASE)


def _citations(policy: Policy, content: str, reasoning: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids of the policy, and ids that it does not have.

    A code is taken for an id of a policy if it begins as one of the policy's own do, is written with a letter behind a
    full stop (H2.f), or has `rule`, `category` or the like in front of it. The rest may be anything: GPT4, B12.
    """
    answers = answers_of(policy)
    own = _prefixes(policy)
    cited: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for found in _CODE.finditer(reasoning):
        code = found[0]
        meaning = answers.get(code)
        if meaning is not None and meaning.kind in (Kind.RULE, Kind.LABEL, Kind.FACET):
            cited[meaning.rule_id or meaning.label] = None
        elif code in policy.text or code in content:
            continue
        elif (
            found[1] in own
            or (found[2] and found[2][1].isalpha())
            or _BEFORE_CODE.search(reasoning[max(0, found.start() - 20) : found.start()])
        ):
            unknown[code] = None
    return tuple(cited), tuple(unknown)


@per_policy
def _prefixes(policy: Policy) -> frozenset[str]:
    """The letters that ids of the policy begin with."""
    names = (*(rule.id for rule in policy.rules), *(label.name for label in policy.labels))
    return frozenset(found[1] for found in map(_CODE.fullmatch, names) if found)


_QUOTED = re.compile(
    r"(?<![\w\"])\"(?=\S)([^\"\n]{3,600})(?<=\S)\"(?![\w\"])|“([^“”]{3,600})”|«([^«»]{3,600})»|„([^„“”]{3,600})[“”]"
)
_OF_POLICY = (
    r"polic(?:y|ies)|guidelines?|rules?|instructions?|developer|system|disallowed(?: content)?|allowed(?: content)?"
    r"|categor(?:y|ies)|definitions?|section|states?|stating"
)
_OF_CONTENT = (
    r"user|content|message|text|quer(?:y|ies)|request|prompt|says?|said|asks?|asking|writes?|wrote|post|comment"
    r"|mentions?"
)
_OF_NEITHER = (
    r"means?|meaning|translat\w+|i\.e\.|like|such as|e\.g\.|maybe|perhaps|output|answer|reply|respond|response"
    r"|assistant|spanish|italian|french|german|portuguese|russian|chinese|japanese|english|should say|would be"
    r"|equivalent"
)
_CUES = re.compile(rf"\b(?:(?P<policy>{_OF_POLICY})|(?P<content>{_OF_CONTENT})|(?P<neither>{_OF_NEITHER}))(?!\w)", re.I)
_LAW = re.compile(r"\b(?:dis|not )?allowed\b|\bprohibited\b|\bpolic(?:y|ies)\b", re.IGNORECASE)
"""Nobody but a policy speaks so, whomever the words in front name."""
_REACH = 70
"""Characters in front of a quotation in which it says whose it is."""
_FEWEST_WORDS = 3
_ALIKE = 0.75
"""Share of the words, or of the pairs of neighbouring words, that a text has to hold for a quotation to be its own."""


def _quotations(policy: Policy, content: str, reasoning: str) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """How many quotations there are, and those that are in neither text, by whose they are said to be.

    Short ones are left out: they are names, labels and words held up with tongs. So are those that are not said to be
    anybody's: translations, examples, the model's own words.
    """
    count = 0
    of_content: dict[str, None] = {}
    of_policy: dict[str, None] = {}
    texts: tuple[_Words, _Words] | None = None
    for found in _QUOTED.finditer(reasoning):
        quoted = next(group for group in found.groups() if group is not None).strip()
        if quoted.count(" ") < _FEWEST_WORDS - 1:
            continue
        count += 1
        if quoted in content or quoted in policy.text:
            continue
        whose = _whose(reasoning, found.start())
        if whose is None:
            continue
        texts = texts or (_Words.of(content), _policy_words(policy))
        if texts[0].hold(quoted, loosely=True) or texts[1].hold(quoted):
            continue
        (of_policy if whose == "policy" or _LAW.search(quoted) else of_content)[quoted] = None
    return count, tuple(of_content), tuple(of_policy)


def _whose(reasoning: str, start: int) -> str | None:
    """`policy` or `content`, by the last word in front of a quotation that says so."""
    last = None
    for cue in _CUES.finditer(reasoning, max(0, start - _REACH), start):
        last = cue.lastgroup
    return None if last == "neither" else last


@dataclass(frozen=True, slots=True)
class _Words:
    """A text for looking up quotations that leave out, respell or misspell a little."""

    joined: str
    words: frozenset[str]
    pairs: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, text: str) -> _Words:
        words = _WORD.findall(text.casefold())
        return cls(f" {' '.join(words)} ", frozenset(words), frozenset(itertools.pairwise(words)))

    def hold(self, quoted: str, *, loosely: bool = False) -> bool:
        """Whether a quotation comes from here; loosely, if most of its words do, in whatever order and spelling."""
        return all(self._holds_piece(piece, loosely=loosely) for piece in _ELLIPSIS.split(quoted))

    def _holds_piece(self, piece: str, *, loosely: bool) -> bool:
        words = _WORD.findall(piece.casefold())
        if f" {' '.join(words)} " in self.joined or len(words) < _FEWEST_WORDS:
            return True
        if loosely and sum(word in self.words for word in words) >= _ALIKE * len(words):
            return True
        pairs = list(itertools.pairwise(words))
        return sum(pair in self.pairs for pair in pairs) >= _ALIKE * len(pairs)


_WORD = re.compile(r"\w+")
_ELLIPSIS = re.compile(r"\.\.\.|…|\[.{0,20}\]")


@per_policy
def _policy_words(policy: Policy) -> _Words:
    return _Words.of(policy.text)


_CONCLUDES = (
    r"(?:output|label|answer|classif\w*|verdict|decision|return|produce|so|thus|therefore|hence|mark|flag|final)"
)
_FILLING = (
    r"(?:[\s:=*_`\"'“”(\[]|\b(?:it|as|is|be|a|an|the|we|i|this|that|should|must|will|would|to|with|of|label|output|answer"
    r"|just|only|exactly|likely|probably|final|need|classify|classification|verdict|return|say|under|violation)\b){0,16}"
)


@per_policy
def _statement(policy: Policy) -> re.Pattern[str]:
    """A verdict as reasoning states it: `So output 0`, `label: SP3`, `Therefore INVALID`."""
    words = [word for word, meaning in answers_of(policy).words.items() if meaning.violation is not None]
    named = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))
    return re.compile(
        rf"\b{_CONCLUDES}\b{_FILLING}(?<![\w.-])({named})(?![\w-]|\.\w)(?!\W{{0,3}}\s*(?:or|if|when|means?|indicates?)\b|/)"
    )


def _stated(policy: Policy, folded: str) -> list[bool]:
    answers = answers_of(policy)
    meanings = (answers.get(word) for word in _statement(policy).findall(folded))
    return [meaning.violation for meaning in meanings if meaning is not None and meaning.violation is not None]


_VIOLATION = re.compile(
    r"\b(?P<no>(?:not|no|n't|never|without|isn't|doesn't|does not)\b[^.;,\n]{0,30}?)?\bviolat(?:es?|ion|ing|ive)\b"
)


def _implied(folded: str) -> bool | None:
    """Whether the last sentence that speaks of a violation says that there is one."""
    found = list(_VIOLATION.finditer(folded))
    return found[-1]["no"] is None if found else None


_DOUBTS = re.compile(r"\b(?:wait|actually|however|maybe|perhaps|hmm|unclear|ambiguous|not sure|uncertain)\b")
_ACTS = re.compile(
    r"\b(?:(?:must|should|need to|have to|will|would|can) (?:refuse|comply)\b|safe[- ]complet\w+|refusal\b"
    r"|(?:i'm|i’m|i am) sorry\b|(?:i|we) (?:can't|can’t|cannot) (?:help|assist|comply|provide)|sure, here"
    r"|(?:i|we)(?:'ll|’ll| will| should| can| need to| must) (?:write|provide|give|help|explain|generate|craft"
    r"|produce (?:a|an|the) (?!label|output|single|final|0|1)\w+))"
)
_SENTENCE = re.compile(r"[^.!?\n]{20,}")
_FEWEST_SENTENCES = 6


def _repeated(folded: str) -> float:
    sentences = [" ".join(sentence.split()) for sentence in _SENTENCE.findall(folded)]
    return 1 - len(set(sentences)) / len(sentences) if len(sentences) >= _FEWEST_SENTENCES else 0.0
