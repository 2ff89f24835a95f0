"""A schema registry that speaks Confluent's API (https://docs.confluent.io/platform/current/schema-registry/develop/api.html).

With SCHEMA_REGISTRY_URL set, ids come from there and not from schemas/lock.json. `weft setup` registers, as
`<topic>-<type>` (TopicRecordNameStrategy), and asks for BACKWARD_TRANSITIVE; workers only look up.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

from infra.errors import Unusable
from infra.wire.schemas import Locked, Node, fingerprint, first_id

TIMEOUT = 15.0
LEVEL = "BACKWARD_TRANSITIVE"
MEDIA = "application/vnd.schemaregistry.v1+json"


class Registry:
    """A registry by its address; every method raises Unusable when it does not answer, or refuses."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = requests.Session()
        self._http.headers.update({"Accept": MEDIA, "Content-Type": MEDIA})

    def prepare(self, subjects: Mapping[str, str], schemas: Mapping[str, Node]) -> list[str]:
        """Register what is missing, under its subject; returns the types that were. Refused if it breaks compatibility."""
        self._ask("PUT", "/config", {"compatibility": LEVEL})
        known = self.locked(subjects)
        missing = [name for name in schemas if first_id(known, name, schemas[name]) is None]
        for name in missing:
            self._ask(
                "POST", f"/subjects/{quote(subjects[name], safe='')}/versions", {"schema": json.dumps(schemas[name])}
            )
        return missing

    def locked(self, subjects: Mapping[str, str]) -> dict[int, Locked]:
        """Every version of every subject, as the lock file would have it."""
        there = set(self._ask("GET", "/subjects"))
        found: dict[int, Locked] = {}
        for name, subject in subjects.items():
            if subject in there:
                path = f"/subjects/{quote(subject, safe='')}/versions"
                for version in self._ask("GET", path):
                    entry = self._ask("GET", f"{path}/{version}")
                    schema = json.loads(entry["schema"])
                    found[entry["id"]] = Locked(entry["id"], name, fingerprint(schema), schema)
        return found

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = self._http.request(method, self._url + path, json=body, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise Unusable(
                f"the schema registry does not answer at {self._url}: {type(error).__name__}. Is SCHEMA_REGISTRY_URL right?"
            ) from error
        if not answer.ok:
            raise Unusable(f"the schema registry refuses {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()
