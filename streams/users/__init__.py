"""Users: who is registered, under which e-mail address, and how they want to be told."""
