"""Sparsities of all layers for a target, from the curves of `prune.sensitivity`."""
