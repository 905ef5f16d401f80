"""Transport distances between any two distributions of a neuron."""
