"""Improve a policy by its errors: analyse them on one part of a golden set, edit, and test on the other part."""
