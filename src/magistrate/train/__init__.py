"""Fitting models: from labelled cases to what the package ships or a user runs."""
