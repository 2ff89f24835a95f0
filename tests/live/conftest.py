import os
from collections.abc import Iterator

import pytest

from infra.edge.client import Wish
from tests.live.harness import LiveMesh, live_mesh

BACKEND = os.environ.get("WEFT_TEST_BACKEND", "embedded")


@pytest.fixture(scope="session")
def shop() -> Iterator[LiveMesh]:
    """One mesh with all contexts in one process, shared by the tests that break nothing."""
    with live_mesh(BACKEND) as live:
        live.set_up()
        live.send(Wish("users.RegisterUser", "ada", {"email": "ada@example.org", "name": "Ada"}, "register-ada"))
        live.ready(live.worker())
        live.until_set_up()
        yield live


@pytest.fixture
def own_mesh() -> Iterator[LiveMesh]:
    """A mesh of the test's own, to break."""
    with live_mesh(BACKEND) as live:
        live.set_up()
        yield live
