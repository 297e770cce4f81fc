"""The shape of the encoder: that of MiniLM-L6."""

LAYERS, WIDTH, HEADS, INNER = 6, 384, 12, 1536
VOCABULARY, POSITIONS = 30522, 512
EPSILON = 1e-12
"""Of layer norms."""
