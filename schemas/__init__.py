"""What happened: one dataclass and one .avsc an event, and the schemas of what can be asked.

Names and fields are the storage format: add fields with defaults, never rename. The first field of a message is the id
of the aggregate it is about, and the key of its record.
"""
