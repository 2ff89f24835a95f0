"""How products and their stock decide: two kinds of aggregates, which meet in the policy only."""
