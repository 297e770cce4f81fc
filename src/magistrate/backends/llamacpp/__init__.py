"""llama.cpp as an engine: weights in GGUF, run in this process on a CPU, a GPU, or both."""

from magistrate.backends.llamacpp.engine import LlamaCppEngine

__all__ = ["LlamaCppEngine"]
