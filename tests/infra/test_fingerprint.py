"""A store is of the code that wrote it: what decides, what it is asked, and how it is written down."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.write import fingerprint as fingerprints
from infra.write import layout, plain
from infra.write.fingerprint import fingerprint
from tests.infra.counter_log import CODEC, CONTEXT


def test_how_it_is_written_down_is_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # given one of the files that say how
    before, read = fingerprint(CONTEXT, CODEC), Path.read_bytes
    for file in (layout.__file__, plain.__file__):
        # when it is changed
        with monkeypatch.context() as changed:
            changed.setattr(Path, "read_bytes", lambda path, at=file: read(path) + (b"#" if str(path) == at else b""))
            # then it is what this process runs all the same
            assert fingerprint(CONTEXT, CODEC) == before
            # and to the next one the store is another one's
            fingerprints._code.cache_clear()
            assert fingerprint(CONTEXT, CODEC) != before
        fingerprints._code.cache_clear()
        assert fingerprint(CONTEXT, CODEC) == before


def test_whom_an_intent_needs_is_a_part_of_it() -> None:
    assert fingerprint(replace(CONTEXT, target=json.dumps), CODEC) != fingerprint(CONTEXT, CODEC)
