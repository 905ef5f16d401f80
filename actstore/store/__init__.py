"""What is stored, under which names, and how it is written, sealed, checked and read. Needs no torch."""
