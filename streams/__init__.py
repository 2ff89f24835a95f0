"""How it decides: one package a bounded context, and nothing else.

decider.py (pure), policy.py (pure), effects.py (the outside world), needs.py (what that takes) and
context.py (all of it together).
Contexts meet only through events: a policy may import another context's events and nobody its commands.
"""
