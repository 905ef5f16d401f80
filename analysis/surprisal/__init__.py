"""Words and their surprisal, and mixed-effects models of it."""
