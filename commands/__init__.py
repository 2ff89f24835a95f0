"""What can be asked: one module a context, frozen dataclasses, then their union.

A command is private to its context: producers outside and the context's own policy ask it, never another context.
"""
