"""A figure of a user's own, in a module of its own: a change of it makes the report again and nothing else."""

from reports.panel import Panel, drawn
from reports.registry import panel


@panel("A section of mine")
def gap_of_neurons(results):
    """Own statistic against the Wasserstein distance."""
    table = results.main.tables["neurons"]
    figure = drawn(lambda ax: ax.scatter(table["wasserstein_distance"], table["determiner_gap"]), (4, 3))
    largest = table["determiner_gap"].max()
    return Panel("Gaps", figure, "Dots.", f"The largest gap is {largest:.3f}.", "One dot a neuron.", "neurons.csv")
