"""How much of anything there may be that comes from outside, or is kept of it; the README has the same in a table.

What is larger gets an answer that says so, before anybody has worked on it.
"""

MAX_COMMAND_BYTES = 256 * 1024  # the value of a command
MAX_POSTED_BYTES = (
    1_048_588  # a batch in a topic of commands, as it is sent: what a broker takes that nobody has told otherwise
)
MAX_UNPACKED_BYTES = 16 * 1024 * 1024  # the same, unpacked
MAX_BATCH_RECORDS = 200_000  # in it
MAX_BATCH_BYTES = 1_000_000  # events of one command, and of one append

MAX_KEY = 1024  # bytes of a key that is repeated in an answer; an aggregate's id is shorter
MAX_TYPE = 255  # bytes of what a stranger calls his command
MAX_REASON = 1000  # characters of an answer

MAX_WAITING = 1000  # commands of strangers that wait behind one of their key
MAX_DEAD_BYTES = 1_500_000  # a letter
MAX_NAME, MAX_HEADER, MAX_HEADERS = 255, 1024, 100  # of the headers of a letter that is cut
MAX_TRACE = 4000  # characters of where a decider failed
