from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent.fleet.demand_server import DemandServer
from tests.agent.server import running_server


@pytest.fixture
def server() -> Iterator[DemandServer]:
    with running_server(DemandServer) as server:
        yield server
