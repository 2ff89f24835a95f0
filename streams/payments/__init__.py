"""Payments: holds, captures and lets go the money of an order."""
