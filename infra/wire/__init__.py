"""How messages look on the wire: records, headers, Avro, what is sealed, and whether old bytes are still understood."""
