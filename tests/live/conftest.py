import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.harness import LENIENCE, LiveMesh
from tests.live.shop import live_shop, register, set_up, until_set_up

BACKEND = os.environ.get("WEFT_TEST_BACKEND", "embedded")
HERE = Path(__file__).parent
PATIENCE = 240.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that may take longest, by their own account, come first, and those that share the one shop last.

    With `--dist worksteal` one process begins with the former and one with the latter, and who has nothing left to do takes
    from the end of what the other has: first of the shop's, then of the shorter ones. So nobody is still at a long one when
    the other has ended.
    """
    live = [item for item in items if item.path.is_relative_to(HERE)]
    live.sort(key=lambda item: 1.0 if "shop" in item.fixturenames else -_patience(item))
    items[:] = [item for item in items if not item.path.is_relative_to(HERE)] + live
    for item in live:
        item.add_marker(pytest.mark.timeout(LENIENCE * (_patience(item) or PATIENCE)), append=False)


def _patience(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark else 0.0


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
