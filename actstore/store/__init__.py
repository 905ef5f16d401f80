"""Stores: their names, writing, sealing, checking and reading. Needs no torch."""
