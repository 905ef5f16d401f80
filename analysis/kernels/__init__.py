"""Statistics on plain arrays; labels are put on by the modules above."""
