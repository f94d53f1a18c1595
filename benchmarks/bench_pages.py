"""Measure the pages of a campaign with 1,000, 10,000 and 100,000 results against their bars.

    python -m benchmarks.bench_pages [--sizes 1000,10000] [--requests 40] [--write-docs] [--explain]

It uses a private PostgreSQL, or a new database on the server in XEENET_TEST_DATABASE_URL. It
writes campaigns, starts the real web server with production settings, and requests each page over
HTTP, signed in, one request at a time. Unless --no-optuna is given, it also times the call by which
`optuna-dashboard` fetches a study with the same trials. Exit code 1 when a page misses its bar.

The database's durability is off. That speeds up only writes, and the timed requests only read.
"""

import argparse
import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import httpx2

from tests.postgres import EXIT_UNAVAILABLE, PostgresUnavailable, private_cluster

if TYPE_CHECKING:
    from benchmarks.pages_client import Timing
    from campaigns.models import Campaign
    from xeenet_site.running.processes import Supervisor

SIZES = (1_000, 10_000, 100_000)
# Requests to optuna-dashboard. Each takes seconds, or a minute for a large study.
OPTUNA_REQUESTS, OPTUNA_REQUESTS_LARGE = 5, 1
START_SECONDS = 60.0
HOST = "127.0.0.1"


@contextlib.contextmanager
def own_database() -> Iterator[str]:
    """Yield the URL of a new, empty database, and drop it afterwards."""
    import psycopg
    from psycopg import sql

    with contextlib.ExitStack() as stack:
        server = os.environ.get("XEENET_TEST_DATABASE_URL")
        if not server:
            cluster = stack.enter_context(private_cluster())
            print(cluster.version, flush=True)
            server = cluster.url
        name = f"bench_pages_{os.getpid()}"
        parts = urlsplit(server)
        admin = urlunsplit(parts._replace(path="/postgres"))
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                )


def set_up_product(database_url: str, home: Path) -> None:
    """Set up Django for this process and the server: production settings, but plain HTTP."""
    os.environ.update(
        {
            "DJANGO_SETTINGS_MODULE": "benchmarks.pages_settings",
            "DATABASE_URL": database_url,
            "XEENET_ENV": "production",
            "XEENET_HOME": str(home),
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": HOST,
            "SECURE_SSL_REDIRECT": "false",
            "LOG_LEVEL": "WARNING",
        }
    )
    for name in ("XEENET_STATIC_ROOT", "XEENET_MEDIA_ROOT"):
        os.environ.pop(name, None)
    import django

    django.setup()
    from xeenet_site.running import serving

    serving.migrate()
    serving.collect_static_files()


def session_cookie(username: str) -> dict[str, str]:
    """Create a session of the user; return its cookie as a header."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore

    owner = User.objects.get(username=username)
    session = SessionStore()
    session[SESSION_KEY] = str(owner.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = owner.get_session_auth_hash()
    session.create()
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}"}


def seed(sizes: list[int]) -> dict[int, "Campaign"]:
    """Write one campaign of each size into the database; return the campaigns by size."""
    from django.contrib.auth.models import User

    from benchmarks import pages_seed
    from campaigns.clock import database_now
    from xeenet_site.web import roles

    owner = User.objects.create_user("researcher")
    roles.give_role(owner, roles.RESEARCHER)
    workers = pages_seed.make_fleet(database_now())
    campaigns = {}
    for size in sizes:
        began = time.monotonic()
        campaigns[size] = pages_seed.make_campaign(
            size, owner=owner, workers=workers, now=database_now()
        )
        print(f"wrote {size:,} results in {time.monotonic() - began:.0f} s", flush=True)
    pages_seed.settle()
    return campaigns


def compute_importance(campaign: "Campaign", size: int) -> None:
    """Run the background job that follows new results, so that the importance panel has a chart."""
    from campaigns import jobs

    began = time.process_time()
    jobs.compute_importance(campaign.pk, "")
    took = time.process_time() - began
    print(f"a job computes importance of {size:,} results in {took:.1f} s of CPU", flush=True)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    supervisor: "Supervisor", name: str, make_command: Callable[[int], list[str]], path: str
) -> Iterator[str]:
    """Start a web server, yield its URL once it answers, and stop it afterwards."""
    from benchmarks.pages_client import wait_until_up
    from xeenet_site.running import serving

    port = free_port()
    environment = serving.server_environment() | {
        "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"]
    }
    child = supervisor.start(name, make_command(port), environment)
    try:
        url = f"http://{HOST}:{port}"
        wait_until_up(url, path, seconds=START_SECONDS, alive=lambda: child.is_running)
        yield url
    except Exception:
        print(child.log_tail(), file=sys.stderr)
        raise
    finally:
        supervisor.stop([child])


def measure_optuna(
    supervisor: "Supervisor", campaign: "Campaign", folder: Path, *, is_large: bool
) -> "Timing":
    """Time the study detail request of `optuna-dashboard` for the campaign's results.

    A large study gets no warm-up request, because that would take another minute.
    """
    from benchmarks import pages_client, pages_optuna

    file = folder / f"study-{campaign.pk}.sqlite3"
    began = time.monotonic()
    written = pages_optuna.export(campaign, file)
    print(f"exported {written:,} trials in {time.monotonic() - began:.0f} s", flush=True)

    def command(port: int) -> list[str]:
        return pages_optuna.dashboard_command(file, HOST, port)

    with (
        running(supervisor, "optuna-dashboard", command, pages_optuna.READY_PATH) as url,
        httpx2.Client(base_url=url, timeout=pages_client.ANSWER_TIMEOUT_SECONDS) as client,
    ):
        (timing,) = pages_client.measure(
            client,
            pages_optuna.STUDY_PATH,
            requests=OPTUNA_REQUESTS_LARGE if is_large else OPTUNA_REQUESTS,
            warm_ups=0 if is_large else 1,
        )
    return timing


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--sizes", type=_numbers, default=list(SIZES), help="results per campaign, with commas"
    )
    parser.add_argument(
        "--requests", type=int, default=40, help="requests per page, after the warm-up"
    )
    parser.add_argument(
        "--optuna-sizes",
        type=_numbers,
        default=list(SIZES),
        help="which of --sizes to measure in optuna-dashboard too; 100000 takes minutes",
    )
    parser.add_argument("--no-optuna", action="store_true", help="leave optuna-dashboard out")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the table into docs/performance.md"
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print the plans of the slowest queries of the largest campaign",
    )
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def obey_signals() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt; its handling stops all started processes.

    A Supervisor only records these signals for a loop that polls it; this program has no loop.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def bench(arguments: argparse.Namespace, folder: Path) -> bool:
    """Seed, measure and print; return whether every bar was held."""
    from benchmarks import pages_docs, pages_explain, pages_report
    from xeenet_site.running import serving
    from xeenet_site.running.processes import Supervisor

    campaigns = seed(sorted(arguments.sizes))
    rows: list[pages_report.Row] = []
    beside: dict[int, Any] = {}
    with Supervisor(folder) as supervisor:
        obey_signals()
        with running(
            supervisor, "web server", lambda port: serving.web_command(HOST, port), "/login/"
        ) as url:
            for size, campaign in campaigns.items():
                compute_importance(campaign, size)
                began = time.monotonic()
                cookie = session_cookie("researcher")
                with httpx2.Client(base_url=url, headers=cookie, timeout=120.0) as client:
                    rows += pages_report.measure_campaign(
                        client,
                        campaign,
                        size,
                        requests=arguments.requests,
                        smaller=pages_report.reference(campaigns, size),
                    )
                took = time.monotonic() - began
                print(f"measured the pages of {size:,} results in {took:.0f} s", flush=True)
        if not arguments.no_optuna:
            for size in sorted(set(arguments.optuna_sizes) & set(campaigns)):
                is_large = size >= pages_report.LARGE_FROM
                try:
                    beside[size] = measure_optuna(
                        supervisor, campaigns[size], folder, is_large=is_large
                    )
                except httpx2.TransportError as error:
                    # Continue: our own figures are worth printing anyway.
                    print(f"optuna-dashboard with {size:,} results gave no answer: {error!r}")
    machine = f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end"
    print(f"\n{machine}\n{pages_report.table(rows, beside)}")
    if arguments.write_docs:
        conditions = f"{machine}, {arguments.requests} requests for each judged page."
        pages_docs.write(pages_docs.markdown(rows, beside, machine=conditions))
    if arguments.explain:
        pages_explain.explain(campaigns[max(campaigns)], "researcher")
    return all(row.holds for row in rows)


def main() -> int:
    """Return 0 when every bar was held, 1 when one was missed, 69 without a PostgreSQL server."""
    arguments = parse_arguments()
    obey_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-pages-") as folder, own_database() as url:
            set_up_product(url, Path(folder))
            held = bench(arguments, Path(folder))
            from django.db import connections

            connections.close_all()
    except PostgresUnavailable as error:
        print(f"bench_pages: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except KeyboardInterrupt:
        print("bench_pages: stopped; nothing is left behind.", file=sys.stderr)
        return 130
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
