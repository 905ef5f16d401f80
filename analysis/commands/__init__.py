"""What each command of `python -m analysis` computes and writes; the arguments are in `analysis.cli`."""
