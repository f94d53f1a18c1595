"""Guards of the side panel: further runs, notes, and what it shows while it is open."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

STEERING: Final = "campaigns/steering.py"
GROWTH: Final = "campaigns/lifecycle/growth.py"
NOTES: Final = "campaigns/lifecycle/notes.py"
VIEW: Final = "campaigns/views/side.py"
VERBS: Final = "tests/lifecycle/test_run_again.py"
API_TESTS: Final = "tests/api/test_notes.py"
PAGES: Final = "tests/pages/campaign/test_side.py"
PAGE_VERBS: Final = "tests/pages/campaign/test_side_verbs.py"

SIDE: Final = (
    Mutant(
        "side: everybody may run an arm again",
        STEERING,
        'see `lifecycle.run_again`."""\n    _must_change(actor, arm.campaign)\n',
        'see `lifecycle.run_again`."""\n',
        (API_TESTS, "-k", "only_who_may_change"),
    ),
    Mutant(
        "side: everybody may write a note",
        STEERING,
        'see `lifecycle.write_note`."""\n    _must_change(actor, subject.campaign)\n',
        'see `lifecycle.write_note`."""\n',
        (API_TESTS, "-k", "only_who_may_change"),
    ),
    Mutant(
        "side: a note on a task leaves no audit entry",
        STEERING,
        '            audit.record(actor, "note", subject, now=now, detail=note.text)\n',
        "            pass\n",
        (API_TESTS, "-k", "audit_log"),
    ),
    Mutant(
        "side: any number of runs at once",
        GROWTH,
        "    if not 1 <= times <= MOST_TIMES_AGAIN:\n",
        "    if not times:\n",
        (VERBS, "-k", "makes_no_sense"),
    ),
    Mutant(
        "side: an arm runs again beyond the most tasks",
        GROWTH,
        "        if locked.task_count + times > MAX_TASKS:\n",
        "        if locked.task_count > MAX_TASKS:\n",
        (VERBS, "-k", "without_room"),
    ),
    Mutant(
        "side: an infeasible arm runs again",
        GROWTH,
        "        if infeasible := tasks[0].infeasible:\n",
        '        if infeasible := "":\n',
        (VERBS, "-k", "infeasible"),
    ),
    Mutant(
        "side: a note overwrites what its writer has not read",
        NOTES,
        "        rows = rows.filter(edits=edits)\n",
        "        pass\n",
        (VERBS, "-k", "older_count"),
    ),
    Mutant(
        "side: a note of any length",
        NOTES,
        "    if len(text) > MAX_NOTE_LENGTH:\n",
        "    if len(text) > MAX_NOTE_LENGTH**2:\n",
        (PAGE_VERBS, "-k", "too_long"),
    ),
    Mutant(
        "side: a form leads to another site",
        VIEW,
        "        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()\n",
        "        address, allowed_hosts={'evil.example'}, require_https=request.is_secure()\n",
        (PAGE_VERBS, "-k", "no_other_site"),
    ),
    Mutant(
        "side: the curve of a running task stands still",
        VIEW,
        "    if is_newest and not is_running(subject):\n",
        "    if is_newest:\n",
        (PAGES, "-k", "nothing_has_changed"),
    ),
    Mutant(
        "side: a refresh of the page computes the panel",
        VIEW,
        "    if key is None or wants_fragment(request):\n",
        "    if key is None:\n",
        (PAGES, "-k", "costs_no_panel"),
    ),
)
