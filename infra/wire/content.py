"""What may be told of an event to whoever asks: its fields as JSON has them, without what names a person or is withheld."""

from typing import Any

from infra.wire.schemas import Node
from infra.wire.sealing import PREFIX


def content(message: Any, schema: Node) -> dict[str, Any]:
    """The fields of a message but those its schema tags `withheld`; a sealed one is there and says nothing."""
    return {
        field["name"]: _plain(getattr(message, field["name"]), field["type"])
        for field in schema["fields"]
        if not field.get("withheld")
    }


def withheld(schema: Node) -> list[str]:
    """The fields of a record that are not told, those of the records in it with a dot."""
    found = []
    for field in schema["fields"]:
        inner = field["type"].get("items", field["type"]) if isinstance(field["type"], dict) else None
        found += [field["name"]] if field.get("withheld") else []
        found += (
            [f"{field['name']}.{name}" for name in withheld(inner)]
            if isinstance(inner, dict) and "fields" in inner
            else []
        )
    return found


def _plain(value: Any, schema: Node) -> Any:
    if isinstance(value, str):
        return "" if value.startswith(PREFIX) else value
    if isinstance(value, tuple):
        return [_plain(item, schema["items"]) for item in value]
    return content(value, schema) if isinstance(schema, dict) and "fields" in schema else value
