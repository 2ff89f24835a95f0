"""How rows are made of the log, kept up, rebuilt, verified and shown to analysts."""
