"""The network: an encoder for contents and policy passages, and a head that scores each passage against a content.

A passage's score never depends on the policy's other passages, nor on which side it stands on; the verdict is a soft
maximum of the violating side less one of the allowed side. So a rule that moves, goes or is edited changes the verdict
only through its own score, and what the scores say of a case is what decided it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from magistrate.classifiers.passage_head import READ_HEADS
from magistrate.train.embedded.shape import EPSILON, HEADS, INNER, LAYERS, POSITIONS, VOCABULARY, WIDTH

READ_WIDTH = 64
"""Of each head of the attention with which a passage reads the tokens of a content."""
COMPARED = 192
"""Inner width of the comparison of a passage with what it read."""


class EncoderLayer(nn.Module):
    """One layer of BERT."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.attention_norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, states: Tensor, visible: Tensor) -> Tensor:
        """States (texts, tokens, width) → the same shape; `visible` (texts, 1, 1, tokens) bool."""
        texts, tokens, width = states.shape
        joint = self.qkv(states).view(texts, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        # Written out: the fused kernel's backward pass took twice as long on a processor (torch 2.13, bfloat16).
        alike = joint[0] @ joint[1].transpose(-1, -2) * (width // HEADS) ** -0.5
        weights = alike.masked_fill(~visible, -1e4).softmax(-1, dtype=joint.dtype)
        mixed = self.out((weights @ joint[2]).transpose(1, 2).reshape(texts, tokens, width))
        states = self.attention_norm(states + mixed)
        found: Tensor = self.norm(states + self.down(functional.gelu(self.up(states))))
        return found


class TokenEncoder(nn.Module):
    """BERT with six layers: token ids → a state a token."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.words.weight.requires_grad = False  # half of the weights, most seen too rarely to learn
        self.places = nn.Embedding(POSITIONS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.layers = nn.ModuleList([EncoderLayer() for _ in range(LAYERS)])

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (texts, tokens) int64, padded with 0 → states (texts, tokens, width)."""
        visible = (ids > 0)[:, None, None, :]
        states: Tensor = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]])
        for layer in self.layers:
            states = layer(states, visible)
        return states


class PassageHead(nn.Module):
    """How strongly a passage of a policy speaks for a content: it reads the content's tokens and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, READ_HEADS * READ_WIDTH)
        self.key = nn.Linear(WIDTH, READ_HEADS * READ_WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH, bias=False)
        self.passage = nn.Linear(WIDTH, WIDTH)
        self.first = nn.Linear(4 * WIDTH, COMPARED)
        self.last = nn.Linear(COMPARED, 1)
        self.kind = nn.Parameter(torch.zeros(2))
        self.cosine = nn.Parameter(torch.tensor([8.0, 0.0]))
        self.focus = nn.Parameter(torch.tensor([6.0]))
        self.sharpness = nn.Parameter(torch.zeros(1))
        self.nothing = nn.Parameter(torch.tensor([-1.0]))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def scores(self, tokens: Tensor, mask: Tensor, passages: Tensor, kinds: Tensor) -> Tensor:
        """Score each passage against each content: (contents, passages).

        Args:
            tokens: (contents, tokens, width).
            mask: (contents, tokens) bool, the tokens that are read.
            passages: (passages, width), mean states.
            kinds: (passages,) int64: 0 for a rule, 1 for an example.
        """
        contents, length, width = tokens.shape
        query = self.query(passages).view(-1, READ_HEADS, READ_WIDTH)
        key = self.key(tokens).view(contents, length, READ_HEADS, READ_WIDTH)
        weights = torch.einsum("phd,cthd->cpht", query, key) / READ_WIDTH**0.5
        weights = weights.float().masked_fill(~mask[:, None, None, :], -1e4).softmax(-1)
        value = self.value(tokens).view(contents, length, READ_HEADS, width // READ_HEADS)
        read = torch.einsum("cpht,cthd->cphd", weights.to(value.dtype), value).flatten(2)
        unit = functional.normalize(passages.float(), dim=-1)
        alike = functional.normalize(tokens.float(), dim=-1) @ unit.T * self.focus
        near = alike.masked_fill(~mask[:, :, None], -1e4).softmax(1).transpose(1, 2).to(tokens.dtype) @ tokens
        seen = read + near
        wanted = self.passage(passages) + passages
        wanted = wanted.expand(contents, -1, -1)
        compared = torch.cat([seen, wanted, seen * wanted, (seen - wanted).abs()], -1)
        found = self.last(functional.gelu(self.first(compared), approximate="tanh"))[..., 0].float()
        whole = (functional.normalize(near.float(), dim=-1) * unit).sum(-1)
        part = functional.cosine_similarity(seen.float(), wanted.float(), dim=-1)
        return found + self.cosine[0] * whole + self.cosine[1] * part + self.kind[kinds]

    def log_odds(self, scores: Tensor, violating: Tensor) -> Tensor:
        """The log-odds of a violation (contents,), of scores (contents, passages); `violating` (passages,) bool."""
        sharpness = functional.softplus(self.sharpness) + 0.5
        for_violation = _soft_maximum(scores[:, violating], sharpness[0])
        nothing = self.nothing.expand(scores.shape[0], 1)
        against = _soft_maximum(torch.cat([scores[:, ~violating], nothing], 1), sharpness[0])
        return for_violation - against


def _soft_maximum(scores: Tensor, sharpness: Tensor) -> Tensor:
    return torch.logsumexp(scores * sharpness, -1) / sharpness


class PolicyReader(nn.Module):
    """Encoder and head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TokenEncoder()
        self.head = PassageHead()

    def passages(self, ids: Tensor) -> Tensor:
        """Mean states of policy passages (passages, width)."""
        states = self.encoder(ids)
        share = (ids > 0)[:, :, None].to(states.dtype)
        return (states * share).sum(1) / share.sum(1)


def load_bert(encoder: TokenEncoder, weights: Mapping[str, Tensor]) -> None:
    """Put the weights of a BERT checkpoint into the encoder; its constant segment goes into the places."""
    state = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "places.weight": weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    for index in range(LAYERS):
        source, target = f"encoder.layer.{index}", f"layers.{index}"
        for part in ("weight", "bias"):
            joint = [weights[f"{source}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            state[f"{target}.qkv.{part}"] = torch.cat(joint)
            state[f"{target}.out.{part}"] = weights[f"{source}.attention.output.dense.{part}"]
            state[f"{target}.attention_norm.{part}"] = weights[f"{source}.attention.output.LayerNorm.{part}"]
            state[f"{target}.up.{part}"] = weights[f"{source}.intermediate.dense.{part}"]
            state[f"{target}.down.{part}"] = weights[f"{source}.output.dense.{part}"]
            state[f"{target}.norm.{part}"] = weights[f"{source}.output.LayerNorm.{part}"]
    encoder.load_state_dict(state)
