"""From a corpus or a file to documents, words, windows of tokens, and minimal pairs."""
