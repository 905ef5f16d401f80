"""Neurons over training checkpoints."""
