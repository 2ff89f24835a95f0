"""What operators do with a mesh: set up, run, watch, redrive, grow, record."""
