"""Pairs of similar inputs, and the neurons that drive them apart."""
