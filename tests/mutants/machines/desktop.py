"""Guards of the service, of leaving, and of the desktop worker."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_API: Final = "tests/api/agents/test_leave.py"
_PLANS: Final = "tests/agent/service/test_plans.py"
_INSTALL: Final = "tests/agent/service/test_install.py"
_LEAVE: Final = "tests/agent/test_leave.py"
_FIRST: Final = "tests/agent/desktop/test_first_start.py"
_TOGETHER: Final = "tests/agent/desktop/test_coordinator.py"

DESKTOP: Final = (
    Mutant(
        "desktop: a window that closes ends the agent on the spot where there is no signal",
        "workers/agent/desktop/agent.py",
        "            if self._has_signals:",
        "            if True:",
        ("tests/agent/test_stop_request.py", "-k", "without_signals"),
    ),
    Mutant(
        "desktop: a request to stop reaches a later agent",
        "workers/agent/stop_request.py",
        "    return bool(pid == own and mark and mark == start_mark(own))",
        "    return bool(pid == own)",
        ("tests/agent/test_stop_request.py", "-k", "only_once"),
    ),
    Mutant(
        "leave: the token of a worker that left works again after a resume",
        "workers/lifecycle.py",
        "token_hash=DEAD_TOKEN, pause_reason=LEFT",
        "pause_reason=LEFT",
        (_API, "-k", "gives_its_tasks_back"),
    ),
    Mutant(
        "leave: the tasks of a worker that left are lost",
        "campaigns/lifecycle/leases.py",
        '            release(worker, lease_id, now=now, reason="The worker left.")\n',
        "",
        (_API, "-k", "gives_its_tasks_back"),
    ),
    Mutant(
        "leave: results that wait are not sent",
        "workers/agent/leave/goodbye.py",
        "    if not outbox.pending_lease_ids():\n        return 0\n",
        "    return 0\n",
        (_LEAVE, "-k", "results_go_first"),
    ),
    Mutant(
        "leave: results that could not be sent are lost without a word",
        "workers/agent/leave/command.py",
        "        if waiting and not without:",
        "        if False:",
        (_LEAVE, "-k", "old_or_absent"),
    ),
    Mutant(
        "leave: an old server is asked for what it does not know",
        "workers/agent/leave/goodbye.py",
        "        if Feature.LEAVING not in client.features():",
        "        if False:",
        (_LEAVE, "-k", "old_or_absent"),
    ),
    Mutant(
        "leave: it ends a worker whose agent runs",
        "workers/agent/leave/command.py",
        "        _check_that_no_agent_runs(state)\n    credentials",
        "        pass\n    credentials",
        (_LEAVE, "-k", "while_an_agent_runs"),
    ),
    Mutant(
        "leave: any folder is taken for a worker's",
        "workers/agent/leave/command.py",
        "        if not _is_state_folder(root):",
        "        if False:",
        (_LEAVE, "-k", "no_agent_made"),
    ),
    Mutant(
        "leave: the whole state folder is deleted, whoever wrote what is in it",
        "workers/agent/leave/belongings.py",
        "for name in (*_FOLDERS, *_FILES)), *_temporary(root)]",
        "for name in (*_FOLDERS, *_FILES)), *root.iterdir()]",
        (_LEAVE, "-k", "nothing_else"),
    ),
    Mutant(
        "service: systemd replaces what stands after a percent sign in a path",
        "workers/agent/service/systemd.py",
        """.replace('"', '\\\\"').replace("%", "%%")""",
        """.replace('"', '\\\\"')""",
        (_PLANS, "-k", "systemd_reads"),
    ),
    Mutant(
        "service: systemd replaces $NAME in an option",
        "workers/agent/service/systemd.py",
        '_quoted(word.replace("$", "$$"))',
        "_quoted(word)",
        (_PLANS, "-k", "systemd_reads"),
    ),
    Mutant(
        "service: a line break in a path writes lines of its own into the unit",
        "workers/agent/service/plan.py",
        "        if not word.isprintable():",
        "        if False:",
        (_PLANS, "-k", "second_worker"),
    ),
    Mutant(
        "service: a file of somebody else is replaced",
        "workers/agent/service/apply.py",
        "        if not os.path.lexists(path) or str(path) in known:",
        "        if True:",
        (_INSTALL, "-k", "somebody_else_is_neither"),
    ),
    Mutant(
        "service: lingering that the owner had asked for is taken away",
        "workers/agent/service/apply.py",
        "    if record.linger and (",
        "    if (",
        (_INSTALL, "-k", "leave_the_home"),
    ),
    Mutant(
        "service: a token is written into the unit",
        "workers/agent/service/command.py",
        "        if getattr(parsed, name) != getattr(defaults, name):",
        "        if False:",
        (_INSTALL, "-k", "refused_before"),
    ),
    Mutant(
        "service: launchd starts an agent again that its server has turned away",
        "workers/agent/service/supervised.py",
        "    return EXIT_OK if code in FINAL_EXITS else code",
        "    return code",
        (_INSTALL, "-k", "does_not_mend"),
    ),
    Mutant(
        "first start: the invitation goes to a server that was not tried",
        "workers/agent/desktop/first_start.py",
        "        if server not in self._tried:",
        "        if False:",
        (_FIRST, "-k", "not_tried"),
    ),
    Mutant(
        "first start: the invitation stands on a command line",
        "workers/agent/desktop/first_start.py",
        "self._agent.start(options, {ENROLMENT_VARIABLE: invitation.token})",
        'self._agent.start([*options, "--enrol", invitation.token], {})',
        (_FIRST, "-k", "agents_own_page"),
    ),
    Mutant(
        "first start: a link's token is sent with the test of the server",
        "workers/agent/desktop/invitation.py",
        "        if _TOKEN.search(segment):\n            break\n",
        "",
        (_FIRST, "-k", "people_paste"),
    ),
    Mutant(
        "first start: any page may ask",
        "workers/agent/desktop/welcome.py",
        "        if not self._keys.knows(token_of(request)):",
        "        if False:",
        (_FIRST, "-k", "only_the_page"),
    ),
    Mutant(
        "first start: another website may ask",
        "workers/agent/desktop/welcome.py",
        "        if (refused := refusal(request, self.host)) is not None:",
        "        if (refused := None) is not None:",
        (_FIRST, "-k", "only_the_page"),
    ),
    Mutant(
        "desktop: an agent works on that nobody can see",
        "workers/agent/desktop/coordinator.py",
        "        return self._agent.is_running and self._tray_is_there",
        "        return self._agent.is_running",
        (_TOGETHER, "-k", "counts_as_none"),
    ),
    Mutant(
        "desktop: a window that never opened stops the agent",
        "workers/agent/desktop/coordinator.py",
        "            if not self._window_was_seen:",
        "            if False:",
        (_TOGETHER, "-k", "gives_way_to_the_browser"),
    ),
    Mutant(
        "desktop: the window's program gets the worker's token",
        "workers/agent/desktop/faces.py",
        "for name, value in os.environ.items() if name not in _SECRET},",
        "for name, value in os.environ.items()},",
        (_TOGETHER, "-k", "no_secret_reaches"),
    ),
)
