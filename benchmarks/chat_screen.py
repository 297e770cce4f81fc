"""A dedicated screen for what people ask of assistants: all of MiniLM, tuned on public rows under several policies.

Used by the replayed cascade. It is tuned once (about eight minutes of one core, with the extra `train`) and kept in
`build/cascade/`. The rows are those of `BUNDLES` in ../shared/data, one head each; no text of ToxicChat is among them.
A text's score is the logit of the mean of its heads' probabilities: which heads count was not chosen on recorded items.
"""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from magistrate.encoders.minilm import MiniLmEncoder
from magistrate.train.embedded.base_model import published
from magistrate.train.embedded.network import PolicyReader, TokenEncoder

SCREEN_FILE = "chat-screen.pt"
BUNDLES = (
    "harmreq_any",
    "harmreq_sexual",
    "harmreq_hate",
    "harmreq_violence",
    "harmreq_self_harm",
    "harmreq_drugs",
    "jailbreak_attempt",
    "jigsaw_toxicity",
    "surge_toxicity",
    "olid_offensive",
    "hatexplain_abusive",
    "cad_identity_abuse",
    "edos_sexism",
)
REQUEST_ROWS, POST_ROWS = 4000, 1500
"""Of each bundle of requests, and of each other."""
TOKENS, WINDOWS = 96, 8
"""Read at once, first and last mark included; a longer text counts by its most suspicious window for each head."""
BATCH, CHUNK = 32, 1600
RATE, HEAD_RATE, WARM_UP = 5e-5, 1e-3, 100
WIDTH = 384
FIRST, LAST = 101, 102

Floats = NDArray[np.float64]
Labels = dict[str, dict[int, int]]
"""By text: the label of each head that has one."""


@dataclass(slots=True)
class ChatScreen:
    """The tuned encoder and its heads."""

    encoder: TokenEncoder
    heads: nn.Linear
    tokenizer: Tokenizer

    def pieces(self, text: str) -> list[list[int]]:
        """Token ids of the windows of a text."""
        ids = self.tokenizer.encode(text or " ", add_special_tokens=False).ids
        size = TOKENS - 2
        starts = range(0, max(1, len(ids)), size)
        return [[FIRST, *ids[at : at + size], LAST] for at in starts][:WINDOWS]

    def logits(self, windows: Sequence[list[int]]) -> torch.Tensor:
        """(n_windows, n_heads)."""
        ids = torch.zeros(len(windows), max(map(len, windows)), dtype=torch.long)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.tensor(window)
        visible = (ids > 0).float()[..., None]
        states = self.encoder(ids)
        found: torch.Tensor = self.heads((states * visible).sum(1) / visible.sum(1))
        return found

    def scores(self, texts: Sequence[str]) -> list[float]:
        """The logit of each text's mean probability over the heads."""
        found: list[float] = []
        with torch.no_grad():
            for text in texts:
                most = self.logits(self.pieces(text)).max(0).values.sigmoid().mean().clamp(1e-6, 1 - 1e-6)
                found.append(float(most.logit()))
        return found


def chat_screen(data: Path, folder: Path, *, without: set[str]) -> ChatScreen:
    """The screen as it is kept in a folder, or tuned now.

    Args:
        data: The bundles' folder.
        folder: Where it is kept, by what it is made of.
        without: Texts, lower-case and stripped, that must not be among the rows.
    """
    screen = _untuned(folder)
    kept = folder / SCREEN_FILE
    if kept.is_file():
        state = torch.load(kept, weights_only=True)
        screen.encoder.load_state_dict(state["encoder"])
        screen.heads.load_state_dict(state["heads"])
        return screen
    _tune(screen, _rows(data, without))
    torch.save({"encoder": screen.encoder.state_dict(), "heads": screen.heads.state_dict()}, kept)
    return screen


def _untuned(folder: Path) -> ChatScreen:
    torch.manual_seed(0)
    reader: PolicyReader = published(None, folder=folder).network
    tokenizer = Tokenizer.from_file(str(MiniLmEncoder().folder.path / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return ChatScreen(reader.encoder, nn.Linear(WIDTH, len(BUNDLES)), tokenizer)


def _rows(data: Path, without: set[str]) -> Labels:
    shuffled = random.Random(0)
    labels: Labels = {}
    for head, name in enumerate(BUNDLES):
        with gzip.open(data / "train" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [row for row in map(json.loads, file) if "text" in row]
        shuffled.shuffle(rows)
        for row in rows[: REQUEST_ROWS if name.startswith("harmreq") else POST_ROWS]:
            if row["text"].strip().lower() not in without:
                labels.setdefault(row["text"], {})[head] = int(row["label"])
    return labels


def _tune(screen: ChatScreen, labels: Labels) -> None:
    """One pass over the rows."""
    windows = {text: screen.pieces(text)[0] for text in labels}
    batches = _batches(sorted(labels), windows)
    parameters = [{"params": screen.encoder.parameters()}, {"params": screen.heads.parameters(), "lr": HEAD_RATE}]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / WARM_UP) * max(0.02, 1 - step / len(batches))
    )
    started = time.perf_counter()
    for step, batch in enumerate(batches, 1):
        optimiser.zero_grad()
        loss = _loss(screen.logits([windows[text] for text in batch]), [labels[text] for text in batch])
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            spent = time.perf_counter() - started
            print(f"  chat screen: step {step} of {len(batches)}, loss {loss.item():.3f}, {spent:.0f} s", flush=True)


def _batches(texts: list[str], windows: dict[str, list[int]]) -> list[list[str]]:
    """Texts of about one length together, in random order."""
    shuffled = random.Random(1)
    shuffled.shuffle(texts)
    batches: list[list[str]] = []
    for at in range(0, len(texts), CHUNK):
        chunk = sorted(texts[at : at + CHUNK], key=lambda text: len(windows[text]))
        some = [chunk[start : start + BATCH] for start in range(0, len(chunk), BATCH)]
        shuffled.shuffle(some)
        batches += some
    return batches


def _loss(logits: torch.Tensor, labels: Sequence[dict[int, int]]) -> torch.Tensor:
    """Cross-entropy over the heads that have a label."""
    truth, known = torch.zeros_like(logits), torch.zeros_like(logits)
    for row, of_text in enumerate(labels):
        for head, label in of_text.items():
            truth[row, head], known[row, head] = float(label), 1.0
    each = nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
