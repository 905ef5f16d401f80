"""Rendering analysis results: figures, tables, and one self-contained HTML file."""
