"""The pages that `bench_pages` requests, their bars, and the table of figures."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape

import httpx2
from django.db.models import F
from django.urls import reverse

from benchmarks.pages_client import WARM_UPS, Timing, measure, percentile
from campaigns.models import Campaign
from xeenet_site.web import live

# From this many results on, bars of time over HTTP are wider by LARGE_FACTOR.
LARGE_FROM = 10_001
LARGE_FACTOR = 1.3
# Allowed in addition, because a page of a few ms varies by more than the factor.
LARGE_SLACK_MS = 5.0
MAX_QUERIES = 15
# The many other pages get fewer requests, to keep the run short.
JUDGED = ("campaign page", "light refresh", "analysis tab")
FEW_REQUESTS = 15
# Caches may serve several revisions of a large campaign, but never so many: all entries are stale.
FORGETTING_REVISIONS = 1 << 16
COLD_REQUESTS = 2
AFTER_RESULT = "… after each new result"
NOTHING_KEPT = "… with nothing kept"
HEADS = "".join(
    [
        *(" " * 34, f"{'p50 ms':>9}", f"{'p95 ms':>9}", f"{'server p95':>11}"),
        *(f"{'cpu p50':>9}", f"{'queries':>9}", f"{'kB':>10}", "   bar"),
    ]
)
HTMX = {"HX-Request": "true"}
# `live.js` sends at most so many hashes.
MOST_HASHES = 480


@dataclass(frozen=True)
class Page:
    """One URL to request and its bars: p95 in ms and size in kB (None: reported, not judged).

    `max_server_ms` is a p95 inside Django, and the same for all sizes.
    """

    name: str
    path: str
    headers: Mapping[str, str]
    max_ms: float | None = None
    max_kb: float | None = None
    max_server_ms: float | None = None
    # Increase the campaign's revision by this much before each request.
    revisions_between: int = 0

    @property
    def forgets(self) -> bool:
        """Whether every request finds all caches stale."""
        return self.revisions_between >= FORGETTING_REVISIONS


@dataclass(frozen=True)
class Row:
    """One page of one campaign as it was measured."""

    size: int
    page: Page
    timing: Timing
    # The same page of a campaign with at most 10,000 results, requested in turn with this one.
    smaller: Timing | None = None

    @property
    def p50_ms(self) -> float:
        return percentile(self.timing.wall_ms, 0.5)

    @property
    def p95_ms(self) -> float:
        return percentile(self.timing.wall_ms, 0.95)

    @property
    def growth(self) -> float | None:
        """The p50 relative to that of the smaller campaign; None if it is not judged."""
        if self.smaller is None or self.page.max_ms is None:
            return None
        return self.p50_ms / percentile(self.smaller.wall_ms, 0.5)

    @property
    def factor(self) -> float:
        return LARGE_FACTOR if self.size >= LARGE_FROM else 1.0

    @property
    def misses(self) -> list[str]:
        """Return the bars that were missed, in words."""
        page, timing = self.page, self.timing
        misses = []
        if page.max_ms is not None and self.p95_ms > page.max_ms * self.factor:
            misses.append(f"p95 above {page.max_ms * self.factor:.0f} ms")
        limit = page.max_server_ms
        if limit is not None and timing.server_ms and percentile(timing.server_ms, 0.95) > limit:
            misses.append(f"server p95 above {limit:.0f} ms")
        if self.smaller is not None and self.growth is not None:
            most = LARGE_FACTOR * percentile(self.smaller.wall_ms, 0.5) + LARGE_SLACK_MS
            if self.p50_ms > most:
                misses.append(f"p50 above {LARGE_FACTOR} × that of fewer results")
        if page.max_kb is not None and timing.size_kb > page.max_kb:
            misses.append(f"above {page.max_kb:.0f} kB")
        if timing.queries is not None and timing.queries > MAX_QUERIES:
            misses.append(f"more than {MAX_QUERIES} queries")
        return misses

    @property
    def holds(self) -> bool:
        return not self.misses


def measure_campaign(
    client: httpx2.Client,
    campaign: Campaign,
    size: int,
    *,
    requests: int,
    smaller: Campaign | None = None,
) -> list[Row]:
    """Measure every page of one campaign.

    Each judged page is requested in turn with the same page of the `smaller` campaign, if given.
    """
    smaller_pages = {page.name: page for page in pages(client, smaller)} if smaller else {}
    rows = []
    for page in pages(client, campaign):
        most = requests if page.name in JUDGED else FEW_REQUESTS
        # Names of judged pages are unique within a campaign.
        counterpart = smaller_pages.get(page.name) if page.max_ms is not None else None
        timing, *beside = measure(
            client,
            *[page.path, *([counterpart.path] if counterpart else [])],
            requests=min(requests, COLD_REQUESTS if page.forgets else most),
            # Without caches, warming up makes no difference.
            warm_ups=0 if page.forgets else WARM_UPS,
            headers=page.headers,
            before_each=_move_on(campaign, page.revisions_between),
        )
        rows.append(Row(size, page, timing, *beside))
    return rows


def reference(campaigns: Mapping[int, Campaign], size: int) -> Campaign | None:
    """Return the campaign to compare a campaign of this size with: the largest small one, or None.

    `campaigns` has them by size. Only large campaigns are compared.
    """
    small_sizes = [known for known in campaigns if known < LARGE_FROM]
    return campaigns[max(small_sizes)] if small_sizes and size >= LARGE_FROM else None


def _move_on(campaign: Campaign, revisions: int) -> Callable[[], object] | None:
    """Return a function that raises the campaign's revision, as new results do; None for 0."""
    if not revisions:
        return None
    this = Campaign.objects.filter(pk=campaign.pk)
    return lambda: this.update(revision=F("revision") + revisions)


def pages(client: httpx2.Client, campaign: Campaign) -> list[Page]:
    """Return the pages to request, including the charts that the analysis tab loads."""
    main = reverse("campaign", args=[campaign.pk])
    analysis = reverse("campaign-analysis", args=[campaign.pk])
    board = reverse("api-leaderboard", args=[campaign.pk])
    tasks = reverse("campaign-tasks", args=[campaign.pk])
    runs = reverse("campaign-runs", args=[campaign.pk])
    held = live_header(client.get(main).text)
    requested = [
        Page("campaign page", main, {}, max_ms=100, max_kb=100, max_server_ms=60),
        Page(AFTER_RESULT, main, {}, revisions_between=1),
        Page(NOTHING_KEPT, main, {}, revisions_between=FORGETTING_REVISIONS),
        Page("light refresh", main, held, max_ms=100, max_kb=5, max_server_ms=60),
        Page(AFTER_RESULT, main, held, revisions_between=1),
        Page("arms, last page", f"{main}?page=1000000", {}),
        Page("arms of all classes", f"{main}?class=all", {}),
        Page("runs", runs, {}),
        Page("runs by steps", f"{runs}?sort=steps", {}),
        Page("runs, failed tasks", f"{runs}?state=failed", {}),
        Page("runs, last page", f"{runs}?page=1000000", {}),
        Page("leaderboard API, 100 rows", f"{board}?limit=100", {}),
        Page("tasks, last page", f"{tasks}?page=1000000", {}),
        Page("tasks by value", f"{tasks}?sort=value", {}),
        Page("log", reverse("campaign-log", args=[campaign.pk]), {}),
        Page("workers of the campaign", reverse("campaign-workers", args=[campaign.pk]), {}),
        Page("race tab", reverse("campaign-races", args=[campaign.pk]), {}, max_ms=150),
        Page(
            NOTHING_KEPT,
            reverse("campaign-races", args=[campaign.pk]),
            {},
            revisions_between=FORGETTING_REVISIONS,
        ),
        Page("honesty tab", reverse("campaign-honesty", args=[campaign.pk]), {}, max_ms=150),
        Page(
            NOTHING_KEPT,
            reverse("campaign-honesty", args=[campaign.pk]),
            {},
            revisions_between=FORGETTING_REVISIONS,
        ),
        Page("fleet", reverse("workers"), {}),
        Page("overview", reverse("overview"), {}),
        Page("analysis tab", analysis, {}, max_ms=150),
        Page(NOTHING_KEPT, analysis, {}, revisions_between=FORGETTING_REVISIONS),
    ]
    for path in chart_paths(client.get(analysis).text, analysis):
        name = path.removeprefix(analysis).strip("/").partition("?")[0].strip("/")
        requested.append(Page(f"chart {name}", path, HTMX, max_ms=150))
        requested.append(Page(NOTHING_KEPT, path, HTMX, revisions_between=FORGETTING_REVISIONS))
    return requested


def live_header(html: str) -> dict[str, str]:
    """Return the header by which `live.js` says what it holds of this page."""
    hashes = re.findall(r' data-v="([^"]+)"', html)
    version = re.search(r' data-live="([^"]+)"', html)
    after = re.search(r' data-after="(\d+)"', html)
    held = "" if len(hashes) > MOST_HASHES else "".join(hashes)
    return {live.HEADER: f"{version[1] if version else ''} {after[1] if after else '-'} {held}"}


def chart_paths(html: str, below: str) -> list[str]:
    """Return the paths under `below` that the page loads by htmx, in order, without duplicates."""
    fetched = (unescape(path) for path in re.findall(r'hx-get="([^"]*)"', html))
    return list(dict.fromkeys(path for path in fetched if path.startswith(below) and path != below))


def table(rows: list[Row], beside: Mapping[int, Timing]) -> str:
    """Return the figures as text by size; each size ends with optuna-dashboard's request."""
    lines = []
    for size in dict.fromkeys(row.size for row in rows):
        lines += [
            "",
            f"{size:,} results",
            HEADS,
        ]
        own = [row for row in rows if row.size == size]
        lines += [_line(row.page.name, row.timing, verdict(row)) for row in own]
        if size in beside:
            optuna = beside[size]
            lines.append(_line("optuna-dashboard study detail", optuna, ""))
            slower = percentile(optuna.wall_ms, 0.5) / own[0].p50_ms
            larger = optuna.size_bytes / own[0].timing.size_bytes
            lines.append(
                f"  that is {slower:,.0f} times the time and {larger:,.0f} times the bytes "
                "of the campaign page"
            )
    missed = sum(not row.holds for row in rows)
    lines += ["", f"{missed} missed" if missed else "Every bar is held."]
    return "\n".join(lines)


def verdict(row: Row) -> str:
    """Return the page's bars and whether they were held."""
    bars = []
    if row.page.max_ms is not None:
        bars.append(f"{row.page.max_ms * row.factor:.0f} ms")
    if row.page.max_kb is not None:
        bars.append(f"{row.page.max_kb:.0f} kB")
    if row.page.max_server_ms is not None:
        bars.append(f"{row.page.max_server_ms:.0f} ms in the server")
    if row.growth is not None:
        bars.append(f"{row.growth:.2f} × fewer results")
    if row.misses:
        return f"MISSED: {', '.join(row.misses)}"
    return f"held: {', '.join([*bars, f'{MAX_QUERIES} queries'])}"


def _line(name: str, timing: Timing, verdict: str) -> str:
    server = f"{percentile(timing.server_ms, 0.95):.1f}" if timing.server_ms else ""
    cpu = f"{percentile(timing.cpu_ms, 0.5):.1f}" if timing.cpu_ms else ""
    queries = "" if timing.queries is None else str(timing.queries)
    return (
        f"  {name:32}{percentile(timing.wall_ms, 0.5):9.1f}{percentile(timing.wall_ms, 0.95):9.1f}"
        f"{server:>11}{cpu:>9}{queries:>9}{timing.size_kb:10.1f}   {verdict}"
    ).rstrip()
