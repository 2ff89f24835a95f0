"""The smallest mesh that has everything: one context, a counter, with an effect, a deadline and a policy. The runtime is tested on it."""
