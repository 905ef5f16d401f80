"""What an intervention changed: perplexity, minimal pairs, probes and tasks."""
