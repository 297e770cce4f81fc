"""Weights onto this machine: from a hub, resumed and checked, or from where they lie already."""
