"""A study of real models run whole, without a network: the hub's own client against a server on this machine."""
