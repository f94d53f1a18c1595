"""Guards of the agent against the answers of others, and of its outbox against clocks and disks."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

CLIENT: Final = "tests/agent/connection/test_client.py"
WAITS: Final = "tests/agent/delivery/test_outbox_waits.py"
REPLIES: Final = "tests/agent/connection/test_replies.py"
ENROLMENT: Final = "tests/agent/test_enrolment.py"
DATASETS: Final = "tests/agent/tasks/test_datasets.py"
PLAIN: Final = "tests/agent/test_plain_text.py"

ANSWERS: Final = (
    Mutant(
        "answers: any 4xx is the server's word",
        "workers/agent/connection/server_errors.py",
        "    if status in _OTHERS_STATUSES or ERROR_STATUS.get(code) != status:",
        "    if False:",
        (CLIENT, "-k", "without_xeenets_code"),
    ),
    Mutant(
        "answers: 408 with a code is the server's word",
        "workers/agent/connection/server_errors.py",
        "_OTHERS_STATUSES: Final = frozenset({408, 425})",
        "_OTHERS_STATUSES: Final[frozenset[int]] = frozenset()\n"
        "ERROR_STATUS = {**ERROR_STATUS, 'invalid': 408}  # type: ignore[misc]",
        (WAITS, "-k", "what_others_answer"),
    ),
    Mutant(
        "answers: a code fits any status",
        "workers/agent/connection/server_errors.py",
        "ERROR_STATUS.get(code) != status:",
        "code not in ERROR_STATUS:",
        (CLIENT, "-k", "without_xeenets_code"),
    ),
    Mutant(
        "answers: a captive portal's 200 takes the result",
        "workers/agent/connection/replies.py",
        '    if reply.get("verdict") not in list(Verdict):',
        "    if False:",
        (REPLIES, "-k", "verdict"),
    ),
    Mutant(
        "answers: more leases than were claimed",
        "workers/agent/connection/replies.py",
        "    if len(leases) > count:",
        "    if False:",
        (REPLIES, "-k", "no_more_leases"),
    ),
    Mutant(
        "answers: any body counts as a claim's reply",
        "workers/agent/connection/replies.py",
        "    if not isinstance(leases, list):",
        "    if False:",
        (REPLIES, "-k", "leases_must_be_a_list"),
    ),
    Mutant(
        "answers: seconds of any size",
        "workers/agent/connection/replies.py",
        "if not is_number(value) or not 0 <= value <= MAX_INTERVAL_SECONDS:",
        "if not is_number(value):",
        (REPLIES, "-k", "sane_numbers"),
    ),
    Mutant(
        "answers: brackets without end are parsed",
        "workers/agent/connection/replies.py",
        '    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:',
        "    if False:",
        (REPLIES, "-k", "no_plain_json"),
    ),
    Mutant(
        "answers: a redirect is followed",
        "workers/agent/connection/exchange.py",
        "follow_redirects=False",
        "follow_redirects=True",
        (CLIENT, "-k", "redirect"),
    ),
    Mutant(
        "answers: an enrolment token goes to whoever answers",
        "workers/agent/enrolment.py",
        "                if not is_probed:\n                    client.probe()\n",
        "",
        (ENROLMENT, "-k", "waits_until"),
    ),
    Mutant(
        "answers: a dropped token is an unknown one for the agent",
        "workers/agent/connection/server_errors.py",
        "    if code == ErrorCode.NO_CREDENTIALS:",
        "    if False:",
        (CLIENT, "-k", "told_apart"),
    ),
    Mutant(
        "answers: a dropped token is an unknown one for the server",
        "campaigns/api/errors.py",
        "    (exceptions.NotAuthenticated, 401, ErrorCode.NO_CREDENTIALS),",
        "    (exceptions.NotAuthenticated, 401, ErrorCode.NOT_AUTHENTICATED),",
        ("tests/api/agents/test_claim.py", "-k", "arrive"),
    ),
    Mutant(
        "bounds: an answer of any size",
        "workers/agent/connection/exchange.py",
        "        if most_bytes is not None and size > most_bytes:",
        "        if False:",
        (CLIENT, "-k", "becomes_gigabytes"),
    ),
    Mutant(
        "bounds: stacked codings",
        "workers/agent/connection/exchange.py",
        '    if coding not in {"identity", _ACCEPTED_CODING, ""}:',
        "    if False:",
        (CLIENT, "-k", "coding"),
    ),
    Mutant(
        "bounds: an answer of any length of time",
        "workers/agent/connection/exchange.py",
        "        if left <= 0:\n",
        "        if left <= -5:\n",
        (CLIENT, "-k", "dripping"),
    ),
    Mutant(
        "bounds: a late answer keeps its thread",
        "workers/agent/connection/exchange.py",
        "            self.close()  # ends the thread",
        "            pass  # ends the thread",
        (CLIENT, "-k", "dripping_answer"),
    ),
    Mutant(
        "bounds: a claim keeps the agent from stopping",
        "workers/agent/shutdown.py",
        "        return now - self._drain_noticed_at >= LAST_REQUEST_SECONDS",
        "        return False",
        (ENROLMENT, "-k", "signal and claim"),
    ),
    Mutant(
        "bounds: a download keeps the agent from stopping",
        "workers/agent/places.py",
        "        self._client.abandon_downloads()\n",
        "",
        (
            "tests/agent/connection/test_hostile_server.py",
            "-k",
            "stopping and (datasets or packages)",
        ),
    ),
    Mutant(
        "bounds: cookies are kept",
        "workers/agent/connection/exchange.py",
        "            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),\n",
        "",
        (CLIENT, "-k", "cookies"),
    ),
    Mutant(
        "bounds: a data set of any size",
        "workers/agent/tasks/datasets.py",
        "    if size_bytes > most_bytes:",
        "    if False:",
        (DATASETS, "-k", "larger or limit"),
    ),
    Mutant(
        "bounds: a data set fills the disk",
        "workers/agent/tasks/datasets.py",
        "    if free_bytes(folder) - size_bytes < _FLOOR_BYTES:",
        "    if False:",
        (DATASETS, "-k", "fill_the_disk"),
    ),
    Mutant(
        "bounds: a download does not look at the disk",
        "workers/agent/connection/downloads.py",
        "                if floor_bytes and unchecked >= _DISK_CHECK_BYTES:",
        "                if False:",
        (CLIENT, "-k", "floor"),
    ),
    Mutant(
        "bounds: a download beyond its announced size",
        "workers/agent/connection/downloads.py",
        "                if size > max_bytes:",
        "                if False:",
        (CLIENT, "-k", "announced"),
    ),
    Mutant(
        "cache: a pipe in the place of a file is waited for",
        "workers/agent/files.py",
        '    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)',
        "    flags = os.O_RDONLY",
        (DATASETS, "-k", "swapped and pipe"),
    ),
    Mutant(
        "cache: a device counts as a file",
        "workers/agent/files.py",
        "    if not stat.S_ISREG(os.fstat(handle).st_mode):",
        "    if False:",
        ("tests/agent/test_files.py",),
    ),
    Mutant(
        "outbox: the wall clock ends a wait",
        "workers/agent/delivery/outbox.py",
        "                if entry.waited_seconds > MAX_WAIT_SECONDS:",
        "                if time.time() - entry.stored_at > MAX_WAIT_SECONDS:",
        (WAITS, "-k", "clock"),
    ),
    Mutant(
        "outbox: a wait begins anew at each start",
        "workers/agent/delivery/outbox_entries.py",
        '        waited_seconds=max(0.0, float(data.get("waited_seconds", 0.0))),\n',
        "",
        (WAITS, "-k", "restarts"),
    ),
    Mutant(
        "outbox: a changed entry is sent",
        "workers/agent/delivery/outbox_entries.py",
        "    if data.get(_CHECKSUM) != digest:",
        "    if False:",
        (WAITS, "-k", "changed or covered"),
    ),
    Mutant(
        "outbox: brackets keep the agent from starting",
        "workers/agent/delivery/outbox_entries.py",
        "RecursionError) as error:\n"
        '        raise DamagedEntry("it is no JSON") from error\n'
        "    if not isinstance(data, dict):",
        "UnicodeError) as error:\n"
        '        raise DamagedEntry("it is no JSON") from error\n'
        "    if not isinstance(data, dict):",
        (WAITS, "-k", "starting"),
    ),
    Mutant(
        "outbox: one blocked result holds up all others",
        "workers/agent/delivery/outbox.py",
        "pending = sorted(self.pending_lease_ids(), key=self._last_try)",
        "pending = self.pending_lease_ids()",
        (WAITS, "-k", "hold_up"),
    ),
    Mutant(
        "outbox: a refused result is deleted",
        "workers/agent/delivery/outbox.py",
        "self._path(entry).replace(self._rejected",
        "Path(os.devnull)  # self._path(entry).replace(self._rejected",
        ("tests/agent/delivery/test_outbox.py", "-k", "final_no"),
    ),
    Mutant(
        "texts: the terminal gets what a server says",
        "workers/agent/plain_text.py",
        '    return letter.encode("unicode_escape").decode("ascii")',
        "    return letter",
        (PLAIN,),
    ),
    Mutant(
        "texts: a server writes lines of the log",
        "workers/agent/plain_text.py",
        'plain(record.message, keep="\\t")',
        'plain(record.message, keep="\\n\\t")',
        (PLAIN, "-k", "one_line or whatever"),
    ),
    Mutant(
        "texts: the program logs without the formatter",
        "workers/agent/cli.py",
        "        handler.setFormatter(formatter)\n",
        "        pass\n",
        (PLAIN, "-k", "program"),
    ),
)
