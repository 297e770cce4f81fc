"""A trained network → the folder that the embedded judge is opened from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx

from magistrate.encoders.model_folder import GRAPH, HEAD, SETTINGS, TOKENIZER, ModelFolder, settings_json
from magistrate.train.embedded.graph import build_graph
from magistrate.train.embedded.network import PolicyReader


def export(network: PolicyReader, settings: ModelFolder, *, tokenizer: Path) -> None:
    """Write graph, head, tokenizer and settings to `settings.path`; the model card is written apart."""
    folder = settings.path
    folder.mkdir(parents=True, exist_ok=True)
    encoder = {name: tensor.detach().float().numpy() for name, tensor in network.encoder.state_dict().items()}
    onnx.save(build_graph(encoder, quantised=True), folder / GRAPH)
    head = {name: tensor.detach().numpy().astype(np.float16) for name, tensor in network.head.state_dict().items()}
    np.savez_compressed(folder / HEAD, **head)
    if (folder / TOKENIZER).resolve() != tokenizer.resolve():
        shutil.copyfile(tokenizer, folder / TOKENIZER)
    (folder / SETTINGS).write_text(settings_json(settings), encoding="utf-8")
