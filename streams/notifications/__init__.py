"""Notifications: tells the customer, once an occasion."""
