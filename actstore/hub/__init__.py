"""Downloads from the Hugging Face hub, and the check that they are complete."""
