"""How users and reservations of e-mail addresses decide: two kinds of aggregates, which meet in the policy only."""
