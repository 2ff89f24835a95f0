"""Where people and the outside come in: posting commands, keys of persons, webhooks, identity."""
