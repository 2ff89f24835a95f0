"""Stand-ins for the outside world, over the real protocols: a payment gateway (HTTP) and a mail server (SMTP)."""
