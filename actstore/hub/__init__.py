"""What comes from the Hugging Face hub, and whether it came whole."""
