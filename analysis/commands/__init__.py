"""What each command of the analysis computes and writes; the arguments are in `analysis.cli`."""
