"""How a customer's contact and each message decide: two kinds of aggregates, which meet in the policy only."""
