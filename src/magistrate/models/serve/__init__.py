"""Serving a model: which command line, started, watched, stopped, and found again."""
