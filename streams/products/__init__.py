"""Products: what the shop lists, at which price, and how much of it there is."""
