"""Fitting a cascade: calibrators, thresholds with a guarantee, and the frontier of cost against quality."""
