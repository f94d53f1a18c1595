"""Guards of the site: heads of requests, logs, the base path, running processes, its database."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

LOGS: Final = "xeenet_site/logs.py"
DOOR: Final = "xeenet_site/front_door.py"
GROWTH: Final = ("tests/running/test_growth.py",)
KEEPER: Final = "xeenet_site/running/keeping.py"
SERVING: Final = "xeenet_site/running/serving.py"
KEEPING: Final = ("tests/running/test_keeping.py",)
HEADS: Final = ("tests/running/test_front_door.py",)

BELOW: Final = "tests/running/test_base_path.py"

UNWRITABLE: Final = ("tests/running/test_unwritable.py",)

LIVE: Final = "xeenet_site/web/live.py"
LIVE_TESTS: Final = ("tests/pages/test_live.py",)
TIME_PASSES: Final = ("tests/pages/test_refresh_as_time_passes.py",)

MANAGE: Final = ("tests/running/test_manage.py",)

SECRETS: Final = "xeenet_site/secret_values.py"
SECRETS_TESTS: Final = ("tests/running/test_secret_values.py",)

PREPARED: Final = "xeenet_site/web/prepared.py"
PREPARED_TESTS: Final = ("tests/running/test_prepared.py",)

SITE: Final = (
    Mutant(
        "prepared: all runs share the compiler",
        PREPARED,
        "        compiler = copy.copy(compiled.compiler)\n",
        "        compiler = compiled.compiler\n",
        (*PREPARED_TESTS, "-k", "begins_inside_another"),
    ),
    Mutant(
        "prepared: a run asks with the connection of the thread that compiled",
        PREPARED,
        "        compiler.connection = connection  # each thread has its own\n",
        "",
        (*PREPARED_TESTS, "-k", "not_a_connection"),
    ),
    Mutant(
        "sessions: one that has expired is still somebody's",
        "xeenet_site/sessions.py",
        ', expire_date__gt=Slot("now", DateTimeField())',
        "",
        (*PREPARED_TESTS, "-k", "expired"),
    ),
    Mutant(
        "live: a kept part is shown for other values",
        LIVE,
        "        key = tuple(value.resolve(context, ignore_failures=True)",
        "        key = tuple(0",
        (*LIVE_TESTS, "-k", "only_for_others"),
    ),
    Mutant(
        "output: a command whose reader has gone ends in a traceback",
        "manage.py",
        "        if not _output_is_closed():\n",
        "        if True:\n",
        (*MANAGE, "-k", "reader_has_gone"),
    ),
    Mutant(
        "output: a pipe that breaks elsewhere ends a command without a word",
        "manage.py",
        "        if not _output_is_closed():\n",
        "        if False:\n",
        (*MANAGE, "-k", "breaks_elsewhere"),
    ),
    Mutant(
        "unwritable: a read-only PostgreSQL is an error of the server",
        "campaigns/api/errors.py",
        "sqlstate(error) in _IDLE_IN_TRANSACTION or write_problem(error)",
        "sqlstate(error) in _IDLE_IN_TRANSACTION",
        (*UNWRITABLE, "-k", "is_told_to_agents"),
        "postgresql",
    ),
    Mutant(
        "unwritable: clients come again at once",
        "campaigns/api/errors.py",
        "    if write_problem(error):\n",
        "    if False:\n",
        (*UNWRITABLE, "-k", "is_told_to_agents"),
    ),
    Mutant(
        "unwritable: readyz only reads",
        "xeenet_site/health.py",
        "        check_writes()\n",
        "        pass\n",
        (*UNWRITABLE, "-k", "not_ready"),
    ),
    Mutant(
        "unwritable: readyz does not know what requests have met",
        "xeenet_site/health.py",
        "if problem := unwritable.recent_problem():",
        'if problem := "":',
        (*UNWRITABLE, "-k", "requests_have_met"),
    ),
    Mutant(
        "unwritable: a disk without room is not looked at",
        "xeenet_site/health.py",
        "if problem := unwritable.sqlite_problem():",
        'if problem := "":',
        (*UNWRITABLE, "-k", "disk_without_room"),
    ),
    Mutant(
        "base path: a path that the proxy passes on is not found",
        DOOR,
        "        return path[len(base_path) :]\n",
        "        return path\n",
        (BELOW, "-k", "redirects_stay"),
    ),
    Mutant(
        "base path: static files are at the root of the host",
        "xeenet_site/settings.py",
        'STATIC_URL = f"{BASE_PATH}/static/"',
        'STATIC_URL = "/static/"',
        (BELOW, "-k", "error_pages"),
    ),
    Mutant(
        "base path: cookies go to the whole host",
        "xeenet_site/settings.py",
        'SESSION_COOKIE_PATH = f"{BASE_PATH}/"',
        'SESSION_COOKIE_PATH = "/"',
        (BELOW, "-k", "cookies"),
    ),
    Mutant(
        "base path: the policy of the admin is not found",
        "xeenet_site/middleware.py",
        "path.match(request.path_info)",
        "path.match(request.path)",
        (BELOW, "-k", "policy"),
    ),
    Mutant(
        "base path: printed addresses are without it",
        "xeenet_site/web/pages.py",
        'request.build_absolute_uri(reverse("overview"))',
        'request.build_absolute_uri("/")',
        (BELOW, "-k", "printed"),
    ),
    Mutant(
        "growth: a quadratic pattern hides passwords in addresses",
        LOGS,
        'r"(://[^\\s:/@]*+:)',
        'r"(\\b[a-z][a-z0-9+.-]*://[^\\s:/@]*:)',
        (*GROWTH, "-k", "regular_expression and logs"),
    ),
    Mutant(
        "growth: the log takes values of any length",
        LOGS,
        "    if len(text) <= most:\n",
        "    if True:\n",
        (*GROWTH, "-k", "long_text or strange_values"),
    ),
    Mutant(
        "growth: a cut leaves half a token in the log",
        LOGS,
        "[: most - tail])[:-_EDGE_CHARACTERS]",
        "[: most - tail])",
        (*GROWTH, "-k", "half_there"),
    ),
    Mutant(
        "heads: Django reads headers of any length",
        DOOR,
        "        if problem is not None:\n",
        "        if False:\n",
        HEADS,
    ),
    Mutant(
        "heads: the content type may be as long as other headers",
        DOOR,
        '    "CONTENT_TYPE": 256,\n',
        '    "CONTENT_TYPE": 40_000,\n',
        HEADS,
    ),
    Mutant(
        "heads: quoted cookies of any number",
        DOOR,
        'if environ.get("HTTP_COOKIE", "").count("\\\\") > MAX_COOKIE_BACKSLASHES:',
        "if False:",
        HEADS,
    ),
    Mutant(
        "keeping: what died stays dead",
        KEEPER,
        "            if kept.child is None and time.monotonic() >= kept.due_at:\n",
        "            if False:\n",
        (*KEEPING, "-k", "lives_on"),
    ),
    Mutant(
        "keeping: a process is started again without end",
        KEEPER,
        "        if kept.ends >= self._most_ends:\n",
        "        if False:\n",
        (*KEEPING, "-k", "again_and_again"),
    ),
    Mutant(
        "keeping: the waits do not grow",
        KEEPER,
        " * 2 ** (kept.ends - 1)",
        "",
        (*KEEPING, "-k", "again_and_again"),
    ),
    Mutant(
        "keeping: a new start erases why the former ended",
        "xeenet_site/running/processes.py",
        "            self._logs.add(log)\n",
        "",
        (*KEEPING, "-k", "stand_in_one_log"),
    ),
    Mutant(
        "keeping: the caller is not told of other ends",
        KEEPER,
        "        return ended\n",
        "        return []\n",
        (*KEEPING, "-k", "told_to_the_caller"),
    ),
    Mutant(
        "keeping: a web worker that died ends its web server",
        SERVING,
        '"--no-ws", "--respawn-failed-workers"',
        '"--no-ws"',
        ("tests/running/test_units.py",),
    ),
    Mutant(
        "stopping: the web server waits for every client",
        SERVING,
        '"--workers-kill-timeout": str(STOP_SECONDS),',
        "",
        ("tests/faults/test_serving.py",),
    ),
    Mutant(
        "refresh: a time that went by is a change",
        LIVE,
        'text = "" if self.kind == KEPT else _stable(self.own)',
        'text = "" if self.kind == KEPT else self.own',
        (*LIVE_TESTS, "-k", "only_times_and_tokens"),
    ),
    Mutant(
        "refresh: the order of the rows is sent again and again",
        LIVE,
        '{"v": part.digest, "order"',
        '{"v": "", "order"',
        (*LIVE_TESTS, "-k", "one_that_went"),
    ),
    Mutant(
        "refresh: a name can stand for a part",
        LIVE,
        "_MARK: Final = secrets.token_hex(8)",
        '_MARK: Final = ""',
        (*LIVE_TESTS, "-k", "name_cannot"),
    ),
    Mutant(
        "refresh: an older page gets what it cannot read",
        LIVE,
        "    if held.version != version():\n",
        "    if False:\n",
        (*LIVE_TESTS, "-k", "another_version"),
    ),
    Mutant(
        "refresh: a header of any length is read",
        LIVE,
        "    if len(text) > MOST_HEADER:\n",
        "    if False:\n",
        (*LIVE_TESTS, "-k", "too_long"),
    ),
    Mutant(
        "refresh: all points of a curve are sent again with a new one",
        "campaigns/charts/growing.py",
        "PIECE: Final = 25",
        "PIECE: Final = 2_000",
        ("tests/pages/test_task.py", "-k", "new_points"),
    ),
    Mutant(
        "refresh: how long the background jobs have been away is told by the second",
        "campaigns/health.py",
        'f" since {clock(due, now)}" if due',
        'f" for {(now - due).total_seconds():.0f} s" if due',
        TIME_PASSES,
    ),
    Mutant(
        "refresh: the pause of a worker counts down on the page",
        "campaigns/standings/forecast.py",
        "until {clock(until, now)}, after",
        "for {(until - now).total_seconds():.0f} s more, after",
        TIME_PASSES,
    ),
    Mutant(
        "refresh: the panel is made anew although it has this revision",
        "campaigns/views/side.py",
        "    if is_newest and not is_running(subject):\n",
        "    if False:\n",
        ("tests/pages/campaign/test_side.py", "-k", "not_made_anew"),
    ),
    Mutant(
        "refresh: a reader whose session ended gets no page to sign in",
        "xeenet_site/web/pages.py",
        "    if live.is_refresh(request):\n        return True\n",
        "",
        ("tests/pages/campaign/test_campaign_refresh.py", "-k", "read_no_more"),
    ),
    Mutant(
        "secrets: an empty file of a secret is taken",
        SECRETS,
        "    if not text:\n",
        "    if False:\n",
        (*SECRETS_TESTS, "-k", "refused_by_name"),
    ),
    Mutant(
        "secrets: the line end of a file belongs to its secret",
        SECRETS,
        "read_text().strip()",
        "read_text()",
        (*SECRETS_TESTS, "-k", "comes_from"),
    ),
    Mutant(
        "secrets: the password of the URL gives way to the one beside it",
        "xeenet_site/settings.py",
        'config.get("PASSWORD") or secret("DATABASE_PASSWORD", os.environ)',
        'secret("DATABASE_PASSWORD", os.environ) or config.get("PASSWORD")',
        (*SECRETS_TESTS, "-k", "all_three"),
    ),
    Mutant(
        "probe: an answer other than 200 is a good one",
        "xeenet_site/running/probe.py",
        'return "" if answer.status == http.client.OK else',
        'return "" if answer.status else',
        ("tests/running/test_probe.py", "-k", "content_with"),
    ),
)
