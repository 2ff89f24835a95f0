"""The example as a whole: a shop, its laws, its demo and benches, its stand-ins for the outside. Nothing else in infra imports it."""
