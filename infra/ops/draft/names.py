"""What something new may be called: a name is a module, a topic, a table and a role at once, and for ever."""

import keyword
import re

from infra.errors import Unusable

WORD = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*")
CAMEL = re.compile(r"([A-Z][a-z0-9]*)+")
LONGEST = 40
OURS = frozenset(
    ("analyst", "analytics", "cursor", "events", "head", "identity", "public", "receipts", "vault", "weft")
)
# https://www.postgresql.org/docs/18/sql-keywords-appendix.html: reserved, so that no table may have the name
SQL = frozenset(
    """all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
    from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
    localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
    returning right select session_user similar some symmetric system_user table tablesample then to trailing true union
    unique user using variadic verbose when where window with""".split()  # noqa: SIM905 (a list would be ninety lines)
)
# what the code of a decider says anyway
SAID = frozenset(("command", "dataclass", "decide", "event", "evolve", "initial", "iterator", "refused"))
STATES = frozenset(("registered", "unregistered"))


def context_name(name: str) -> str:
    """The name, if a context or a read model may have it; Unusable says why not."""
    if name in OURS or name in SQL or name.startswith(("pg_", "asof_")):
        raise Unusable(f"{name!r} is reserved: choose another name")
    return _word(name)


def aggregate_name(name: str) -> str:
    """The name, if what a context is about may be called so; Unusable says why not."""
    if name in SAID | STATES:
        raise Unusable(f"{name!r} means something else in every decider: choose another name with --aggregate")
    return _word(name)


def message_name(name: str) -> str:
    """The name, if a command or an event may have it; Unusable says why not."""
    if not CAMEL.fullmatch(name):
        raise Unusable(f"{name!r} is no name of a message: call it as ShipOrder or OrderShipped are")
    return name


def field_name(name: str) -> str:
    """The name, if a field may have it; Unusable says why not."""
    return _word(name)


def _word(name: str) -> str:
    if not WORD.fullmatch(name) or len(name) > LONGEST:
        raise Unusable(
            f"{name!r} is no name: take lower-case words such as gift_cards, of {LONGEST} characters at most"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise Unusable(f"{name!r} is a word of Python: choose another name")
    return name


def singular(name: str) -> str:
    """One of them: of deliveries, boxes and orders a delivery, a box and an order. What has no s stays as it is."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x")):
        if name.endswith(ending):
            return name.removesuffix(ending) + instead
    return name if name.endswith(("ss", "us", "is")) else name.removesuffix("s")


def camel(name: str) -> str:
    """As a class is called: GiftCard for gift_card."""
    return "".join(word.capitalize() for word in name.split("_"))
