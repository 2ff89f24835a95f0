"""How it decides: one package a bounded context, and nothing else.

decider.py (pure), policy.py (pure), effects.py (the outside world) and app.py (all of it, as a Faust application).
Contexts meet only through events: a policy may import another context's events and nobody its commands.
"""
