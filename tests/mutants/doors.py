"""Guards of the server: request bodies, callers, untrusted texts, an unavailable database."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

PARSER: Final = "campaigns/api/parsers.py"
ERRORS: Final = "campaigns/api/errors.py"
PERMISSIONS: Final = "campaigns/api/permissions.py"
BODIES: Final = ("tests/api/inputs/test_parsers.py",)
DATABASE: Final = ("tests/running/test_database_errors.py",)
FUZZ: Final = ("tests/api/inputs/test_fuzz.py",)
WHO_MAY: Final = ("tests/access/test_authorisation.py", "-k", "who_gets_in and api")

DOORS: Final = (
    Mutant(
        "body: the framework's own parser reads it",
        "xeenet_site/settings.py",
        '["campaigns.api.parsers.StrictJSONParser"]',
        '["rest_framework.parsers.JSONParser"]',
        ("tests/api/inputs/test_hostile_bodies.py", "-k", "hostile_body_is_refused"),
    ),
    Mutant(
        "body: NaN passes",
        PARSER,
        "            parse_constant=_refuse_constant,\n",
        "",
        BODIES,
    ),
    Mutant(
        "body: a number beyond double passes",
        PARSER,
        "    if not math.isfinite(number):",
        "    if False:",
        BODIES,
    ),
    Mutant(
        "body: a number beyond 64 bits passes",
        PARSER,
        "    if not -MAX_INTEGER - 1 <= number <= MAX_INTEGER:",
        "    if False:",
        BODIES,
    ),
    Mutant(
        "body: a number of any length is read",
        PARSER,
        '    if len(literal.lstrip("-")) > MAX_INTEGER_DIGITS:',
        "    if False:",
        BODIES,
    ),
    Mutant(
        "body: NUL and half surrogates pass",
        PARSER,
        "    _check_escapes(text)\n",
        "",
        BODIES,
    ),
    Mutant(
        "body: the second of two equal keys wins",
        PARSER,
        "    if len(result) < len(pairs):",
        "    if False:",
        BODIES,
    ),
    Mutant(
        "body: any depth is followed",
        PARSER,
        "    _check_nesting(text)\n",
        "",
        BODIES,
    ),
    Mutant(
        "body: any size is read",
        PARSER,
        "        if len(body) > self.max_bytes:",
        "        if False:",
        BODIES,
    ),
    Mutant(
        "body: bad UTF-8 is replaced",
        PARSER,
        'body.decode("utf-8")',
        'body.decode("utf-8", "replace")',
        BODIES,
    ),
    Mutant(
        "body: true passes for a number",
        "workers/api/fields.py",
        "        if type(data) not in {int, float} or not math.isfinite(data):",
        "        if not isinstance(data, int | float):",
        ("tests/api/agents/test_heartbeat.py",),
    ),
    Mutant(
        "fuzz: a lease that nobody knows is an error of the server",
        ERRORS,
        "    (LeaseUnknown, 404, ErrorCode.NOT_FOUND),\n",
        "",
        FUZZ,
    ),
    Mutant(
        "fuzz: an answer that the document does not tell of",
        "campaigns/answers/leases.py",
        '        "reason": claim.reason,\n',
        '        "reason": len(claim.reason),\n',
        FUZZ,
    ),
    Mutant(
        "database: its absence is an error of the server",
        ERRORS,
        "    (OperationalError, 503, ErrorCode.DATABASE_UNAVAILABLE),\n",
        "",
        DATABASE,
    ),
    Mutant(
        "database: its absence without when to come again",
        ERRORS,
        '        headers["Retry-After"] = str(retry_after(error))\n',
        "        pass\n",
        DATABASE,
    ),
    Mutant(
        "database: statements, locks and forgotten transactions take as long as they like",
        "xeenet_site/databases.py",
        'filter(None, (flags, given.get("options")))',
        'filter(None, ("", given.get("options")))',
        (*DATABASE, "-k", "servers_connections_carry_the_limits"),
        "postgresql",
    ),
    Mutant(
        "database: a kept connection that it ended is used once more",
        "xeenet_site/databases.py",
        '        "CONN_HEALTH_CHECKS": True,\n',
        "",
        ("tests/access/test_security_headers.py", "-k", "production_passes_every_check"),
    ),
    Mutant(
        "callers: a disabled worker works on",
        "workers/authentication.py",
        "        if worker.state == WorkerState.DISABLED:",
        "        if False:",
        WHO_MAY,
    ),
    Mutant(
        "callers: strangers who may read may write",
        PERMISSIONS,
        "        return request.method in SAFE_METHODS and _is_anonymous_reader(request)",
        "        return _is_anonymous_reader(request)",
        WHO_MAY,
    ),
    Mutant(
        "callers: a new route without a row",
        "campaigns/api/urls.py",
        '    path("audit", account.AuditView.as_view(), name="api-audit"),\n',
        '    path("audit", account.AuditView.as_view(), name="api-audit"),\n'
        '    path("also/audit", account.AuditView.as_view(), name="api-also-audit"),\n',
        WHO_MAY,
    ),
    Mutant(
        "texts: pages show HTML that somebody wrote",
        "xeenet_site/settings.py",
        '        "APP_DIRS": True,\n        "OPTIONS": {\n',
        '        "APP_DIRS": True,\n        "OPTIONS": {\n            "autoescape": False,\n',
        ("tests/pages/test_hostile_text.py", "-k", "verbatim"),
    ),
    Mutant(
        "texts: a spreadsheet runs what a cell says",
        "xeenet_site/web/csv_text.py",
        "isinstance(cell, str) and cell[:1] in _FORMULA_STARTS",
        "False",
        ("tests/commands/test_export_results.py", "-k", "spreadsheet_would_run"),
    ),
    Mutant(
        "texts: pages may hold scripts",
        "xeenet_site/security.py",
        '    "script-src": [SELF],\n',
        '    "script-src": [SELF, "\'unsafe-inline\'"],\n',
        ("tests/access/test_security_headers.py", "-k", "no_policy_lets"),
    ),
    Mutant(
        "tasks: a number that somebody typed adds the task with this id",
        "campaigns/views/compare.py",
        'if not words or "add" in request.GET or not all(',
        "if not words or not all(",
        ("tests/pages/test_compare.py", "-k", "never_adds_another"),
    ),
    Mutant(
        "tasks: an old address tells everybody where a task is now",
        "campaigns/views/tasks.py",
        "@reading_page\n@require_safe\n",
        "@require_safe\n",
        ("tests/pages/test_task.py", "-k", "tells_nothing"),
    ),
)
