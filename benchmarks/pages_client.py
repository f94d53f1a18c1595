"""Times requests over HTTP, one after the other, like a single browser."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx2

from benchmarks.pages_stopwatch import CPU_MS_HEADER, QUERIES_HEADER, SERVER_MS_HEADER

# More than the server has threads, so that each thread has opened its database connection.
WARM_UPS = 8
# Limits for slow pages: a figure needs two requests, and the whole run must end.
FEWEST_REQUESTS = 2
MOST_SECONDS = 20.0
# optuna-dashboard needs a minute for 100,000 trials on an otherwise idle machine.
ANSWER_TIMEOUT_SECONDS = 240.0


@dataclass
class Timing:
    """Measurements of one URL. Times are in ms; server and CPU time are measured inside Django.

    The size is what goes over the wire, compressed as for a browser.
    """

    wall_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    queries: int | None = None
    size_bytes: int = 0

    @property
    def size_kb(self) -> float:
        return self.size_bytes / 1000

    def note(self, response: httpx2.Response, wall_ms: float) -> None:
        """Add one response and the time it took."""
        self.wall_ms.append(wall_ms)
        self.size_bytes = max(self.size_bytes, response.num_bytes_downloaded)
        if SERVER_MS_HEADER in response.headers:
            self.server_ms.append(float(response.headers[SERVER_MS_HEADER]))
            self.cpu_ms.append(float(response.headers[CPU_MS_HEADER]))
            self.queries = max(self.queries or 0, int(response.headers[QUERIES_HEADER]))


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def measure(
    client: httpx2.Client,
    *paths: str,
    requests: int,
    warm_ups: int = WARM_UPS,
    headers: Mapping[str, str] | None = None,
    before_each: Callable[[], object] | None = None,
) -> list[Timing]:
    """Request the paths in turn, repeatedly; return a timing for each path.

    A time covers connecting, headers and the whole body. Taking turns makes the paths comparable:
    when the machine becomes slower, it does so for all of them. `before_each` runs before every
    request and is not timed. Queries and size are the largest seen. Raises RuntimeError for any
    response but 200 and 204.
    """
    timings = [Timing() for _ in paths]
    give_up_at = time.monotonic() + MOST_SECONDS * len(paths)
    for number in range(-warm_ups, requests):
        if number >= FEWEST_REQUESTS and time.monotonic() > give_up_at:
            break
        for path, timing in zip(paths, timings, strict=True):
            if before_each:
                before_each()
            began = time.perf_counter()
            response = client.get(path, headers=headers)
            took = 1000 * (time.perf_counter() - began)
            # 204: a refresh finds nothing new.
            if response.status_code not in {httpx2.codes.OK, httpx2.codes.NO_CONTENT}:
                raise RuntimeError(
                    f"{path} answered {response.status_code}, which is no page to time."
                )
            if number >= 0:
                timing.note(response, took)
    return timings


def wait_until_up(base_url: str, path: str, *, seconds: float, alive: Callable[[], bool]) -> None:
    """Return once the server answers anything. Raises RuntimeError if it ends or never answers."""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at and alive():
        try:
            httpx2.get(base_url + path, timeout=ANSWER_TIMEOUT_SECONDS)
        except httpx2.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(
        f"The server at {base_url} did not come up; the last lines of its log are above."
    )
