"""Models: which there are, how they are loaded, where their neurons are, what they say of a text."""
