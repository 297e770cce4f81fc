"""Fitting the embedded judge: an encoder and a head that read a policy and a content they have never seen."""
