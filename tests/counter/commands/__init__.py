"""What can be asked of a counter."""
