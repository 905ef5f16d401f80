"""The figures: each function takes a tidy table and axes, draws on the axes and returns them.

Nothing is computed here but positions in the figure.
"""
