"""The cascade: cheap screens first, the reasoner where it pays."""
