"""Counts to three, rings a bell, and carries one to the next counter."""
