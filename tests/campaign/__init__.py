"""A campaign of harm against the whole package: kills, flips, hostile inputs, two processes at once, power loss.

`python -m tests.campaign` runs it and prints one table; `make campaign` its long form.
"""
