"""The log and the topics: a small port, Kafka behind it, and a twin in memory."""
