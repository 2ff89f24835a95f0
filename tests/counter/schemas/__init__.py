"""What happens to a counter."""
