"""Weights of a few kilobytes, in the forms that are published: whole by their own heads, and of no use."""

from __future__ import annotations

import json
import struct

SHARD = "model-00001-of-00001.safetensors"


def safetensors(size: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(range(256)) * (size // 256) + bytes(size % 256)


def folder_files(size: int, *, model_type: str = "gpt_oss") -> dict[str, bytes]:
    """A repository's files that an engine needs, with one shard."""
    return {
        "config.json": json.dumps({"model_type": model_type}).encode(),
        "tokenizer.json": b"{}" * 900,
        "model.safetensors.index.json": json.dumps({"weight_map": {"w": SHARD}}).encode(),
        SHARD: safetensors(size),
    }


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


ARCHITECTURE = text(b"general.architecture") + struct.pack("<I", 8) + text(b"gpt-oss")
PART_NUMBER = text(b"split.no") + struct.pack("<IH", 2, 1)
"""All that a later part of a split file says of itself."""


def gguf(size: int, *keys: bytes, kind: int = 0) -> bytes:
    """A GGUF file with one tensor.

    Args:
        size: Of the tensor in values.
        keys: Of the head; the architecture where none is given.
        kind: GGUF's number of the tensor's type: 0 for F32.
    """
    keys = keys or (ARCHITECTURE,)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys)
    head += text(b"w") + struct.pack("<IQIQ", 1, size, kind, 0)
    return head + bytes(-len(head) % 32) + b"w" * (size * 4)
