"""Cached pre-activations of language models: extraction, the store, ablation.

The only package that touches a model. Importing it loads neither torch nor transformers.
"""
