"""The services of compose.yaml, from an empty database to a worker's result and past a restart."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2

from tests.images.building import UID, Failed, Storage, run
from tests.images.composed import Missing, composed
from tests.images.containers import Container, Engine
from tests.packages.lab import SPACE
from tests.processes import ROOT

HOST: Final = "localhost"
SITE: Final = f"https://{HOST}"
IMAGES: Final = {
    "XEENET_SERVER_IMAGE": "localhost/xeenet-server",
    "XEENET_WORKER_IMAGE": "localhost/xeenet-worker",
    "XEENET_DATABASE_IMAGE": "localhost/xeenet-stand-in-database",
    "XEENET_PROXY_IMAGE": "localhost/xeenet-stand-in-proxy",
}
START_SECONDS: Final = 180.0
TASK_SECONDS: Final = 300.0
# Where the accounts of the images may write, if anywhere.
_WRITABLE: Final = ("/tmp", "/var/tmp", "/run/lock", "/run/xeenet", "/dev", "/proc", "/sys")
# As in docs/deployment.md; only the socket lies elsewhere in the stand-in.
_DUMP: Final = "pg_dump --host=/tmp --username=xeenet --format=custom xeenet"


class Trial:
    """The steps, with what each took."""

    def __init__(self, storage: Storage, place: Path, budget: float) -> None:
        self._budget = budget
        self._place = place
        secrets = place / "secrets"
        script = ROOT / "packaging" / "images" / "make-secrets.sh"
        print(run(["sh", script, secrets]).strip(), flush=True)
        self._variables = {**IMAGES, "XEENET_HOST": HOST, "XEENET_SECRETS": str(secrets)}
        self._engine = Engine(storage, composed(self._variables), place)
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Run all steps. Raises `Failed`."""
        self._nothing_starts_without_secrets()
        with self._serving() as (web, jobs, proxy):
            self._look_at(web, jobs)
            self._through_the_proxy(proxy)
            self._campaign(web)
            with self._engine.container("worker") as worker:
                self._first_task(web, worker)
                self._worker_without_its_token(web, worker)
                self._stayed_as_it_is(worker)
            before = self._results(web)
            self._stop(web, jobs)
        with self._serving(again=" again") as (web, _, _):
            if self._results(web) != before:
                raise Failed("the results are others after the restart")
            print(f"after the restart: {len(before)} results, the same", flush=True)
            self._stayed_as_it_is(web)

    def _nothing_starts_without_secrets(self) -> None:
        for name in ("XEENET_HOST", "XEENET_SECRETS"):
            try:
                composed({**self._variables, name: ""})
            except Missing as error:
                print(f"refused: {error}", flush=True)
            else:
                raise Failed(f"compose.yaml takes an empty {name}")
        short = self._place / "short"
        short.mkdir()
        for name in ("secret_key", "database_password"):
            (short / name).write_text("changeme")
        variables = {**self._variables, "XEENET_SECRETS": str(short)}
        engine = Engine(self._engine.storage, composed(variables), self._place)
        with engine.container("migrate") as migrate:
            if migrate.run_to_end() == 0 or "xeenet.E007" not in migrate.last_lines():
                raise Failed(f"a short SECRET_KEY is taken\n{migrate.last_lines()}")
        print("refused: a SECRET_KEY of 8 characters (xeenet.E007)", flush=True)

    @contextlib.contextmanager
    def _serving(self, again: str = "") -> Iterator[tuple[Container, Container, Container]]:
        """Run what `up` starts, in its order; yield web, jobs and proxy."""
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(self._engine.container("db"))
            database.start()
            self._timed(f"database{again}", database)
            with self._engine.container("migrate") as migrate:
                started = time.monotonic()
                if migrate.run_to_end() != 0:
                    raise Failed(f"migrate failed\n{migrate.last_lines()}")
                self.seconds[f"check and migrate{again}"] = time.monotonic() - started
                self._stayed_as_it_is(migrate)
            web = stack.enter_context(self._engine.container("web"))
            jobs = stack.enter_context(self._engine.container("jobs"))
            web.start()
            jobs.start()
            self._timed(f"web answers /readyz{again}", web)
            proxy = stack.enter_context(self._engine.container("proxy"))
            proxy.start()
            yield web, jobs, proxy
            proxy.must_run()
            dump = database.execute("sh", "-c", f"{_DUMP} | pg_restore --list | wc -l")
            print(f"pg_dump{again}: {dump.strip()} entries", flush=True)

    def _timed(self, what: str, container: Container) -> None:
        self.seconds[what] = container.until_healthy(START_SECONDS)

    def _look_at(self, web: Container, jobs: Container) -> None:
        print(f"health check of the image: {web.check_of_the_image()}", flush=True)
        for container in (web, jobs):
            self._is_not_root(container)
        address = web.execute("./manage.py", "first_account", "--server", SITE)
        print(f"first account: {address.strip()[:60]}…", flush=True)

    def _is_not_root(self, container: Container) -> None:
        """See that every process is the image's account, and where that account may write."""
        container.must_run()
        accounts = {process.uids().real for process in container.processes()}
        if accounts != {UID} or container.uid != UID:
            raise Failed(f"{container.service.name} runs as {accounts}, not as {UID}")
        look = "find / -xdev -writable -not -type l 2> /dev/null; true"
        own = (*_WRITABLE, *(place for _, place, _ in container.service.volumes))
        paths = container.execute("sh", "-c", look).split()
        others = [path for path in paths if not path.startswith(own)]
        if others:
            raise Failed(f"{container.service.name} can write {others[:10]}")
        count = len(container.processes())
        name = container.service.name
        print(f"{name}: {count} processes, all of account {UID}; it can write {own[-1]} and /tmp")

    def _through_the_proxy(self, proxy: Container) -> None:
        """Read a page and a file by https, with the certificate that the proxy made."""
        root = self._place / "volumes/certificates/caddy/pki/authorities/local/root.crt"
        started = time.monotonic()
        while True:
            try:
                with httpx2.Client(verify=ssl.create_default_context(cafile=root)) as client:
                    page = client.get(f"{SITE}/login/")
                    break
            except (OSError, httpx2.HTTPError) as error:
                proxy.must_run()
                if time.monotonic() - started > START_SECONDS:
                    raise Failed(f"{SITE} does not answer: {error}") from None
                time.sleep(0.5)
        self.seconds["proxy answers https"] = time.monotonic() - started
        files = re.findall(r'href="(/static/[^"]+\.css)"', page.text)
        with httpx2.Client(verify=ssl.create_default_context(cafile=root)) as client:
            answers = {path: client.get(SITE + path).status_code for path in files}
            plain = client.get(f"http://{HOST}/login/")
        if page.status_code != 200 or not files or set(answers.values()) != {200}:
            raise Failed(f"/login/: {page.status_code}, {answers}")
        if plain.headers.get("location") != f"{SITE}/login/":
            raise Failed(f"http is answered {plain.status_code} {plain.headers}")
        hsts = page.headers.get("strict-transport-security", "")
        if "max-age=31536000" not in hsts or "secure" not in page.headers["set-cookie"].lower():
            raise Failed(f"a page by https has {page.headers}")
        print(
            f"{SITE}/login/: 200 with {len(files)} style sheets, HSTS, secure cookie; http → https"
        )

    def _campaign(self, web: Container) -> None:
        words = ["images", "--tasks", "8", "--budget", f"{self._budget:g}", "--launch"]
        words += ["--space", "/tmp/space.json", "--dataset", "english_like", "--no-race"]
        write = f"echo '{json.dumps(SPACE)}' > /tmp/space.json && ./manage.py create_campaign "
        web.execute("sh", "-c", write + " ".join(words))

    def _first_task(self, web: Container, worker: Container) -> None:
        """Let the worker enrol with an invitation and deliver one result."""
        worker.start()  # with neither invitation nor token
        if worker.wait(START_SECONDS) == 0 or "not enrolled" not in worker.last_lines():
            raise Failed(f"a worker without an invitation\n{worker.last_lines()}")
        printed = web.execute("./manage.py", "enroll_worker", "--server", SITE)
        match = re.search(r"--enrol (\S+)", printed)
        if match is None:
            raise Failed(f"enroll_worker printed\n{printed}")
        self.seconds["worker's first result"] = self._result(web, worker, match[1], 1)
        print(f"health check of the image: {worker.check_of_the_image()}", flush=True)
        print(worker.execute(*(worker.service.health or ())).strip(), flush=True)
        self._is_not_root(worker)
        self.seconds["worker ends after SIGTERM"] = worker.stop()

    def _worker_without_its_token(self, web: Container, worker: Container) -> None:
        """Start the worker again; its token lies in its volume."""
        have = len(self._results(web))
        self.seconds["next result after its restart"] = self._result(web, worker, "", have + 1)
        worker.stop()

    def _result(self, web: Container, worker: Container, invitation: str, count: int) -> float:
        """Start the worker; return the seconds until the server has so many results."""
        started = time.monotonic()
        worker.start(XEENET_ENROLMENT_TOKEN=invitation)
        while len(self._results(web)) < count:
            worker.must_run()
            if time.monotonic() - started > TASK_SECONDS:
                raise Failed(f"no result {count}\n{worker.last_lines()}")
            time.sleep(1)
        return time.monotonic() - started

    def _results(self, web: Container) -> list[str]:
        """Return the measured results, as the server exports them."""
        printed = web.execute("./manage.py", "export_results", "--format", "jsonl")
        rows = [line for line in printed.splitlines() if line.startswith("{")]
        return sorted(row for row in rows if json.loads(row)["steps_completed"])

    def _stop(self, web: Container, jobs: Container) -> None:
        self.seconds["web ends after SIGTERM"] = web.stop()
        self.seconds["jobs end after SIGTERM"] = jobs.stop()

    def _stayed_as_it_is(self, container: Container) -> None:
        """See that nothing was written beside volumes and empty folders."""
        if not container.service.read_only:
            raise Failed(f"{container.service.name} is not read-only in compose.yaml")
        if written := container.written():
            raise Failed(f"{container.service.name} wrote {written[:10]}")
        print(f"{container.service.name}: wrote nothing beside its volumes and /tmp", flush=True)
