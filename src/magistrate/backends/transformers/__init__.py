"""Transformers as an engine: weights in safetensors or GGUF, run by PyTorch in this process."""

from magistrate.backends.transformers.engine import TransformersEngine

__all__ = ["TransformersEngine"]
