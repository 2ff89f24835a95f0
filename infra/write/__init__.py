"""How a context decides and appends: from a command record to accepted events, reactions, effects and deadlines."""
