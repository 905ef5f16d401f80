"""One pass of a model over a text, into a store."""
