"""Each neuron by itself: its distribution, its statistics, its profile."""
