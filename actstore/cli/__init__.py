"""The `actstore` command."""
