"""A context as a Faust application: the only folder that knows Faust."""
