"""vLLM in process, on a tiny gpt-oss with random weights."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.tiny_safeguard import needs_vocabulary

from magistrate.backends.engine import EngineBackend, EngineError, Prompt
from magistrate.backends.vllm import VllmEngine
from magistrate.case import Case
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.harmony import Harmony, load_encoding
from magistrate.dialects.safeguard import Form
from magistrate.errors import BackendError
from magistrate.policy.model import Policy
from magistrate.types import (
    Choices,
    Content,
    Decided,
    Effort,
    Failed,
    FinishReason,
    JsonSchema,
    Message,
    Role,
    Sampling,
    Verdict,
)

pytest.importorskip("vllm", reason="needs vLLM: make engines")
# vLLM and what it loads use names that their own dependencies have deprecated.
pytestmark = [pytest.mark.engine, needs_vocabulary, pytest.mark.filterwarnings("ignore")]

RETURN, CHANNEL, START, MESSAGE = 200_002, 200_005, 200_006, 200_008
PROMPT = (START, 1428, MESSAGE, 13225, 200_007, START, 173_781)
CONTEXT = 2048


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[VllmEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_HOST_IP", "127.0.0.1")  # or it looks for its address by a connection to the outside
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # or every engine on this machine shares one core
        engine = VllmEngine(tiny, context_tokens=CONTEXT, kv_cache_bytes=1 << 28, eager=True)
        before = random.getstate()
        with ThreadPoolExecutor(1) as loader:  # as `EngineBackend` does it
            loader.submit(engine.load).result()
        assert random.getstate() == before
        yield engine
        engine.close()


def test_it_says_what_it_is(engine: VllmEngine) -> None:
    assert engine.model == "tiny-safeguard"
    assert engine.capabilities.context_tokens == CONTEXT
    assert engine.capabilities.token_ids
    assert engine.capabilities.constrained


def test_the_likeliest_tokens_do_not_depend_on_the_batch(engine: VllmEngine) -> None:
    wanted = Prompt(token_ids=PROMPT, max_output_tokens=8, temperature=0.0)
    (alone,) = engine.generate([wanted])
    other = Prompt(token_ids=(*PROMPT[:4], 99), max_output_tokens=3, temperature=0.0)
    together = engine.generate([other, wanted, other])
    assert together[1].token_ids[:4] == alone.token_ids[:4]
    assert [len(one.token_ids) <= 3 for one in together] == [True, False, True]


def test_a_seed_gives_the_same_again_and_another_one_does_not(engine: VllmEngine) -> None:
    def write(seed: int) -> tuple[int, ...]:
        (one,) = engine.generate([Prompt(token_ids=PROMPT, max_output_tokens=24, temperature=1.0, seed=seed)])
        return one.token_ids

    assert write(5) == write(5)
    assert len({write(seed) for seed in range(4)}) > 1


def test_it_stops_before_the_token_that_it_is_told_and_says_which(engine: VllmEngine) -> None:
    prompt = Prompt(token_ids=PROMPT, max_output_tokens=64, temperature=0.0, stop_token_ids=(MESSAGE,))
    (one,) = engine.generate([prompt])
    assert (one.finish_reason, one.stopped_by) == (FinishReason.STOP, MESSAGE)
    assert one.token_ids[0] == CHANNEL
    assert MESSAGE not in one.token_ids


def test_the_budget_cuts_off(engine: VllmEngine) -> None:
    (one,) = engine.generate([Prompt(token_ids=PROMPT, max_output_tokens=2, temperature=0.0)])
    assert (one.finish_reason, one.stopped_by, len(one.token_ids)) == (FinishReason.LENGTH, None, 2)


def test_alternatives_are_reported_likeliest_first(engine: VllmEngine) -> None:
    prompt = Prompt(token_ids=PROMPT, max_output_tokens=3, temperature=0.0, top_logprobs=4)
    (one,) = engine.generate([prompt])
    assert [len(place) for place in one.logprobs] == [4] * len(one.token_ids)
    assert one.logprobs[0][0].token == "<|channel|>"
    assert all(a.logprob >= b.logprob for place in one.logprobs for a, b in itertools.pairwise(place))


def test_words_are_held_to(engine: VllmEngine) -> None:
    prompts = [
        Prompt(token_ids=PROMPT, max_output_tokens=16, temperature=1.0, seed=seed, form=Choices(("VALID", "INVALID")))
        for seed in range(8)
    ]
    said = {engine.decode(one.token_ids) for one in engine.generate(prompts)}
    assert said == {"VALID", "INVALID"}


def test_json_is_held_to_a_schema(engine: VllmEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"violation": {"enum": [0, 1]}, "category": {"enum": ["A1", None]}},
        "required": ["violation", "category"],
        "additionalProperties": False,
    }
    form = JsonSchema(json.dumps(schema))
    prompts = [
        Prompt(token_ids=PROMPT, max_output_tokens=128, temperature=1.0, seed=seed, form=form) for seed in range(6)
    ]
    whole = [one for one in engine.generate(prompts) if one.finish_reason is FinishReason.STOP]
    assert whole, "xgrammar 0.2.8 lets blanks stand behind a comma, but not for ever"
    for one in whole:
        said = json.loads(engine.decode(one.token_ids))
        assert said["violation"] in (0, 1)
        assert said["category"] in ("A1", None)


def test_a_chat_is_rendered_by_the_template(engine: VllmEngine) -> None:
    chat = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi"))
    text = engine.decode(engine.template(chat, Effort.HIGH))
    assert "Reasoning: high" in text
    assert text.endswith("# Instructions\n\nBe brief.\n\n<|end|><|start|>user<|message|>Hi<|end|><|start|>assistant")


def test_a_prompt_that_does_not_fit_is_an_error_that_tells_nothing_of_it(engine: VllmEngine) -> None:
    with pytest.raises(EngineError) as error:
        engine.generate([Prompt(token_ids=(7777,) * (CONTEXT + 1), max_output_tokens=1)])
    assert "7777" not in str(error.value)
    (one,) = engine.generate([Prompt(token_ids=PROMPT, max_output_tokens=1)])  # and it goes on
    assert len(one.token_ids) == 1


def judge(engine: VllmEngine, texts: list[str], *, constrained: bool) -> list[Verdict]:
    policy = Policy.parse("# Spam\n\n## Violates\n\n- SP1: sells\n\n## Safe\n\n- OK1: the rest\n", name="spam")
    sampling = Sampling(max_output_tokens=300, seed=4)

    async def run() -> list[Verdict]:
        backend = EngineBackend(_Loaded(engine))
        reasoner = Reasoner(Harmony(Form.BINARY), backend, sampling=sampling, constrained=constrained, max_attempts=1)
        async with reasoner:
            return await reasoner.judge_many([Case(policy, Content.of_text(text)) for text in texts])

    return asyncio.run(run())


class _Loaded(VllmEngine):
    """An engine that is loaded once for all tests."""

    def __init__(self, engine: VllmEngine) -> None:
        self.__dict__ = engine.__dict__

    def load(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_it_judges_and_a_held_answer_can_be_read_whatever_the_weights(engine: VllmEngine) -> None:
    texts = [f"post {n}" for n in range(16)]
    held = judge(engine, texts, constrained=True)
    free = judge(engine, texts, constrained=False)
    assert any(isinstance(verdict, Decided) for verdict in held)
    assert all(isinstance(verdict, Failed) for verdict in free)
    assert {verdict.trace.model for verdict in held} == {"tiny-safeguard"}


def test_the_vocabulary_is_harmonys(engine: VllmEngine) -> None:
    text = "<|start|>user<|message|>naïve 🥫 123 don't<|end|>"
    tokens = load_encoding().encode(text, allowed_special="all")
    assert engine.decode(tokens) == text
    assert tuple(tokens[-1:]) == (200_007,)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no weights at"):
        VllmEngine(tmp_path / "nothing").load()
