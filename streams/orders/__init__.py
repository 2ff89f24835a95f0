"""Orders: takes an order, and says when it is confirmed or cancelled."""
