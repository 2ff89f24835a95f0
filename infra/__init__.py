"""How any context runs: the runtime, Kafka, Postgres, the command line. Knows shapes, never the names of contexts."""
