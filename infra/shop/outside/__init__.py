"""Stand-ins for the outside world, over the real protocols: a payment gateway, an SMS and a push service (HTTP), a mail server (SMTP)."""
