"""How a counter decides."""
