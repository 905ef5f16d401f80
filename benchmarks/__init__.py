"""Benchmarks: `python -m benchmarks.NAME`, each side by side with its yardstick in one process."""
