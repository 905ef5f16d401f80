"""Choosing neurons by a statistic, and the file a choice is kept in. Needs no torch."""
