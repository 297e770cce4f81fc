"""Fit a screen for one policy from labelled cases."""
