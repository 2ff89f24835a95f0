"""What may be told of an event to whoever asks: its fields as JSON has them, without what names a person or pays."""

from typing import Any

SEALED = "weft1:"  # how infra/sealing.py begins what it seals
KEPT_BACK = frozenset(("card", "body"))  # a token that can be charged; what was written to somebody


def content(message: Any) -> dict[str, Any]:
    """The fields of a message; a sealed one is there and says nothing."""
    return {name: _plain(value) for name, value in vars(message).items() if name not in KEPT_BACK}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return "" if value.startswith(SEALED) else value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return content(value) if hasattr(value, "__dataclass_fields__") else value
