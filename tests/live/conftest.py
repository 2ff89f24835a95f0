import os
from collections.abc import Iterator

import pytest

from tests.live.harness import LiveMesh
from tests.live.shop import live_shop, register, set_up, until_set_up

BACKEND = os.environ.get("WEFT_TEST_BACKEND", "embedded")


@pytest.fixture(scope="session")
def shop() -> Iterator[LiveMesh]:
    """One mesh with all contexts in one process, shared by the tests that break nothing."""
    with live_shop(BACKEND) as live:
        set_up(live)
        register(live, "ada")
        live.ready(live.worker())
        until_set_up(live)
        yield live


@pytest.fixture
def own_mesh() -> Iterator[LiveMesh]:
    """A mesh of the test's own, to break."""
    with live_shop(BACKEND) as live:
        set_up(live)
        yield live
