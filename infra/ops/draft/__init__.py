"""First versions of what an application is made of, as files: for a person to read, and then to edit."""
