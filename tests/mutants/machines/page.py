"""Guards of the worker's own page."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_DESK = "tests/agent/page/test_desk.py"
_KEYS = "tests/agent/page/test_keys.py"
_MESSAGES = "tests/agent/page/test_messages.py"
_SERVER = "tests/agent/page/test_server.py"
_SERVICE = "tests/agent/page/test_service.py"
_SETUP = "tests/agent/page/test_torch_setup.py"

PAGE: Final = (
    Mutant(
        "page: a ticket opens it twice",
        "workers/agent/page/keys.py",
        "self._tickets.pop(_hash(ticket), None)",
        "self._tickets.get(_hash(ticket))",
        (_KEYS, "-k", "exchanged_once"),
    ),
    Mutant(
        "page: a ticket opens it for ever",
        "workers/agent/page/keys.py",
        "if ends_at is None or self._seconds() >= ends_at:",
        "if ends_at is None:",
        (_KEYS, "-k", "old_ticket"),
    ),
    Mutant(
        "page: a name that was pointed at this machine is answered",
        "workers/agent/page/guard.py",
        '    if headers.get("host") != host:',
        '    if headers.get("host") is None:',
        (_MESSAGES, "-k", "page_itself"),
    ),
    Mutant(
        "page: another origin is answered",
        "workers/agent/page/guard.py",
        '    if origin is not None and origin != f"http://{host}":',
        '    if origin == "null":',
        (_MESSAGES, "-k", "page_itself"),
    ),
    Mutant(
        "page: a form of another site can press its buttons",
        "workers/agent/page/guard.py",
        '.strip() != "application/json":',
        '.strip() == "text/csv":',
        (_MESSAGES, "-k", "another_site"),
    ),
    Mutant(
        "page: it is told without a token",
        "workers/agent/page/site.py",
        "        if not self._keys.knows(token_of(request)):",
        "        if not token_of(request):",
        (_SERVER, "-k", "without_the_token"),
    ),
    Mutant(
        "page: a header that comes twice is taken as it comes",
        "workers/agent/page/wire.py",
        'if len(headers) != head.count(b"\\r\\n") - 2:',
        "if False:",
        (_MESSAGES, "-k", "two_readers"),
    ),
    Mutant(
        "page: a body of any size is read",
        "workers/agent/page/wire.py",
        'if int(headers["content-length"]) > MAX_BODY_BYTES:',
        "if False:",
        (_MESSAGES, "-k", "two_readers"),
    ),
    Mutant(
        "page: a head without an end is kept",
        "workers/agent/page/wire.py",
        "max_incomplete_event_size=MAX_HEAD_BYTES",
        "max_incomplete_event_size=2**40",
        (_SERVER, "-k", "too_large"),
    ),
    Mutant(
        "page: lines of a head end in two ways",
        "workers/agent/page/wire.py",
        " and _LINES.fullmatch(head)):",
        "):",
        (_MESSAGES, "-k", "two_readers or one_way"),
    ),
    Mutant(
        "page: a length is more than a number",
        "workers/agent/page/wire.py",
        "if not _LENGTH.search(head):",
        "if False:",
        (_MESSAGES, "-k", "two_readers"),
    ),
    Mutant(
        "page: a body comes in chunks",
        "workers/agent/page/wire.py",
        'if "transfer-encoding" in headers:',
        "if False:",
        (_MESSAGES, "-k", "two_readers"),
    ),
    Mutant(
        "page: idle connections keep the owner out",
        "workers/agent/page/server.py",
        "                _end(oldest)\n",
        "",
        (_SERVER, "-k", "hundreds"),
    ),
    Mutant(
        "page: the owner's connection is ended for a stranger's",
        "workers/agent/page/server.py",
        "(other for other, known in self._open.items() if not known)",
        "iter(self._open)",
        (_SERVER, "-k", "hundreds"),
    ),
    Mutant(
        "page: each byte buys more time",
        "workers/agent/page/server.py",
        "        self.request.settimeout(left)",
        "        self.request.settimeout(STRANGER_SECONDS)\n"
        "        self._deadline = time.monotonic() + STRANGER_SECONDS",
        (_SERVER, "-k", "slow_sender"),
    ),
    Mutant(
        "page: the address stands in the list of processes",
        "workers/agent/browser.py",
        "    if open_address(path.as_uri()):",
        "    if open_address(address):",
        (_SERVICE, "-k", "list_of_processes"),
    ),
    Mutant(
        "page: everybody may read the file that leads to it",
        "workers/agent/browser.py",
        "mode=0o600",
        "mode=0o644",
        (_SERVICE, "-k", "list_of_processes"),
    ),
    Mutant(
        "page: the file that leads to it stays",
        "workers/agent/page/site.py",
        "        self._on_begun()\n",
        "",
        (_SERVICE, "-k", "list_of_processes"),
    ),
    Mutant(
        "page: a used address stays on the terminal",
        "workers/agent/page/opening.py",
        "        if self._address and not self._service.still_opens(self._address):",
        "        if False:",
        (_SERVICE, "-k", "until_it_was_used"),
    ),
    Mutant(
        "page: it is served for ever",
        "workers/agent/page/service.py",
        "self._seconds() - self._seen_at > self._linger_seconds",
        "False",
        (_SERVICE, "-k", "viewer or before_somebody"),
    ),
    Mutant(
        "page: a stranger keeps it open",
        "workers/agent/page/site.py",
        "        if (refused := refusal(request, self.host)) is not None:",
        "        self._on_seen()\n        if (refused := refusal(request, self.host)) is not None:",
        (_SERVICE, "-k", "viewer"),
    ),
    Mutant(
        "page: keys outlive the page",
        "workers/agent/page/service.py",
        "            self._keys = Keys(self._seconds)\n        if",
        "        if",
        (_SERVER, "-k", "after_the_end"),
    ),
    Mutant(
        "page: open follows any address",
        "workers/agent/page/asking.py",
        "return address if is_ours and _ADDRESS.fullmatch(address) else None",
        "return address if is_ours else None",
        (_SERVICE, "-k", "somebody_else"),
    ),
    Mutant(
        "page: everybody may read the address",
        "workers/agent/page/asking.py",
        "mode=0o600",
        "mode=0o644",
        (_SERVICE, "-k", "only_the_owner"),
    ),
    Mutant(
        "page: a link leads anywhere",
        "workers/agent/page/view.py",
        'if campaign_id <= 0 or not server.startswith(("https://", "http://")):',
        "if campaign_id <= 0 or not server:",
        (_DESK, "-k", "link_leads"),
    ),
    Mutant(
        "page: rules that could never work are stored",
        "workers/agent/page/desk.py",
        "                check_machine(rules, usable_memory_bytes())\n",
        "",
        (_DESK, "-k", "could_never_let"),
    ),
    Mutant(
        "page: a pause until an hour ignores the change of the clock",
        "workers/agent/page/desk.py",
        "return (end.astimezone() - now).total_seconds()",
        "return (end - here).total_seconds()",
        (_DESK, "-k", "clock_on_the_wall"),
    ),
    Mutant(
        "page: resume leaves the pause of the rules",
        "workers/agent/page/desk.py",
        "if isinstance(rules, Rules) and rules.paused_until is not None:",
        "if False:",
        (_DESK, "-k", "resume"),
    ),
    Mutant(
        "page: two set-ups run at a time",
        "workers/agent/page/torch_setup.py",
        "        if self.is_running:\n",
        "        if False:\n",
        (_SETUP, "-k", "one_set_up"),
    ),
    Mutant(
        "page: a set-up gets the worker's token",
        "workers/agent/page/torch_setup.py",
        "for name, value in os.environ.items() if name not in _SECRET",
        "for name, value in os.environ.items()",
        (_SETUP, "-k", "without_the_token"),
    ),
)
