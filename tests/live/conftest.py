import os
from collections.abc import Iterator

import pytest

from tests.live.harness import LiveMesh, live_mesh
from tests.live.shop import register

BACKEND = os.environ.get("WEFT_TEST_BACKEND", "embedded")


@pytest.fixture(scope="session")
def shop() -> Iterator[LiveMesh]:
    """One mesh with all contexts in one process, shared by the tests that break nothing."""
    with live_mesh(BACKEND) as live:
        live.set_up()
        register(live, "ada")
        live.ready(live.worker())
        live.until_set_up()
        yield live


@pytest.fixture
def own_mesh() -> Iterator[LiveMesh]:
    """A mesh of the test's own, to break."""
    with live_mesh(BACKEND) as live:
        live.set_up()
        yield live
