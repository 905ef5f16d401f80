"""The figures: each function takes a tidy table and axes, draws, and gives the axes back.

Nothing is computed here but positions on the page.
"""
