"""The trained network and what the package runs are the same function."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from magistrate.case import Case  # noqa: E402
from magistrate.classifiers.clause_matcher import ClauseMatcher  # noqa: E402
from magistrate.classifiers.passage_head import PassageHead  # noqa: E402
from magistrate.encoders.base import Passage  # noqa: E402
from magistrate.encoders.minilm import MiniLmEncoder  # noqa: E402
from magistrate.encoders.model_folder import ASSETS, TOKENIZER, ModelFolder  # noqa: E402
from magistrate.policy.model import Policy  # noqa: E402
from magistrate.policy.starter import read_starter  # noqa: E402
from magistrate.train.embedded.base_model import trained  # noqa: E402
from magistrate.train.embedded.export import export  # noqa: E402
from magistrate.train.embedded.families import training_policy  # noqa: E402
from magistrate.train.embedded.graph import build_graph  # noqa: E402
from magistrate.train.embedded.held_out import log_odds  # noqa: E402
from magistrate.train.embedded.network import PassageHead as TorchHead  # noqa: E402
from magistrate.train.embedded.tokens import TextTokens  # noqa: E402
from magistrate.types import Abstained, Content, Decided, Message, Role, Target  # noqa: E402

TEXTS = ["Buy followers now, 1000 for $5", "I lost my cat near the station", "you idiot, nobody likes you"]


def tokens() -> TextTokens:
    return TextTokens(ASSETS, content_tokens=160, passage_tokens=96)


def test_the_head_in_numpy_is_the_head_that_is_trained() -> None:
    torch.manual_seed(0)
    head = TorchHead()
    for parameter in head.parameters():
        parameter.data = torch.randn_like(parameter) * 0.1
    weights = {name: tensor.numpy() for name, tensor in head.state_dict().items()}
    plain = PassageHead(weights)
    random = np.random.default_rng(0)
    states = [random.normal(size=(length, 384)).astype(np.float32) for length in (3, 17, 40)]
    passages = random.normal(size=(5, 384)).astype(np.float32)
    kinds = [False, True, False, False, True]
    found = plain.scores(states, plain.prepare(passages, kinds))
    for row, one in zip(found, states, strict=True):
        with torch.no_grad():
            mask = torch.ones(1, len(one), dtype=torch.bool)
            wanted = head.scores(torch.tensor(one)[None], mask, torch.tensor(passages), torch.tensor(kinds).long())
        np.testing.assert_allclose(row, wanted[0].numpy(), rtol=1e-3, atol=1e-3)


def test_a_piece_scores_as_a_window_of_its_own() -> None:
    head = PassageHead.load(ASSETS)
    random = np.random.default_rng(1)
    states = random.normal(size=(30, 384)).astype(np.float32)
    prepared = head.prepare(random.normal(size=(4, 384)).astype(np.float32), [False] * 4)
    pieces = [(0, 16), (8, 24), (16, 30)]
    whole = head.scores([states[start:end] for start, end in pieces], prepared)
    for passage in range(4):
        found = head.piece_scores(states, prepared, passage, pieces)
        np.testing.assert_allclose(found, whole[:, passage], rtol=1e-4, atol=1e-4)


def test_the_graph_is_the_encoder(tmp_path: Path) -> None:
    network = trained(ASSETS).network
    weights = {name: tensor.numpy() for name, tensor in network.encoder.state_dict().items()}
    row = tokens().content(Content.of_text(TEXTS[0])).ids
    with torch.no_grad():
        wanted = network.encoder(torch.tensor([row]))[0].numpy()
    for quantised, floor in ((False, 0.9999), (True, 0.95)):
        session = ort.InferenceSession(build_graph(weights, quantised=quantised).SerializeToString())
        states = np.asarray(session.run(["states"], {"input_ids": np.array([row])})[0])[0]
        cosines = (states * wanted).sum(1) / np.linalg.norm(states, axis=1) / np.linalg.norm(wanted, axis=1)
        assert cosines.min() > floor


def test_training_reads_content_as_the_judge_does() -> None:
    chat = Content.of_chat([Message(Role.USER, "Shall I burn it?"), Message(Role.ASSISTANT, "Yes!")], Target.ASSISTANT)
    with MiniLmEncoder() as encoder:
        for content, passage in (
            (Content.of_text(TEXTS[2]), Passage(TEXTS[2])),
            (chat, Passage("Yes!", "Shall I burn it?")),
        ):
            row = tokens().content(content)
            (encoded,) = encoder.encode_tokens([passage])
            assert encoded.tokens == len(row.ids)
            assert len(encoded.windows[0].states) == len(row.ids) - row.hidden


def test_log_odds_survive_the_export_and_the_way_back(tmp_path: Path) -> None:
    """The verdicts of the judge follow the trained network within what int8 costs."""
    start = trained(ASSETS)
    settings = ModelFolder(path=tmp_path, name="copy", slope=1.0, offset=0.0, abstain_within=0.0)
    export(start.network, settings, tokenizer=ASSETS / TOKENIZER)
    policy: Policy = read_starter("spam")
    contents = [Content.of_text(text) for text in TEXTS]

    async def judge() -> list[float]:
        async with ClauseMatcher(MiniLmEncoder(tmp_path)) as matcher:
            verdicts = await matcher.judge_many([Case(policy, content) for content in contents])
            assert all(verdict.trace.model == "copy" for verdict in verdicts)
            return [v.probability or 0.0 for v in verdicts if isinstance(v, Decided | Abstained)]

    found = np.array(asyncio.run(judge()))
    wanted = log_odds(start.network, training_policy(policy), contents, tokens())
    assert np.abs(np.log(found / (1 - found)) - wanted).max() < 1.0
