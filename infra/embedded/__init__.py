"""Real Kafka and Postgres without Docker: locked jars and a wheel, as children of this process."""
