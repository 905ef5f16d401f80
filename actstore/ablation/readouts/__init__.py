"""The readouts of this package, one file each."""
