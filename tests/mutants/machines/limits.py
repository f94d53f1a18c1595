"""Guards of the owner's rules: what they refuse, when they pause, and what they cost nobody."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_TESTS: Final = "tests/agent/limits"

LIMITS: Final = (
    Mutant(
        "rules: hours that end when they begin are taken",
        "workers/agent/limits/hours.py",
        "        if start == end:\n",
        "        if False:\n",
        (f"{_TESTS}/test_rules.py", "-k", "never_let"),
    ),
    Mutant(
        "rules: a file with unknown rules is taken",
        "workers/agent/limits/rules.py",
        "    if unknown := sorted(set(value) - known):",
        "    if unknown := [] and sorted(set(value) - known):",
        (f"{_TESTS}/test_rules.py", "-k", "not_rules"),
    ),
    Mutant(
        "rules: true is one thread",
        "workers/agent/limits/rules.py",
        "    is_whole = isinstance(value, int) and not isinstance(value, bool)",
        "    is_whole = isinstance(value, int)",
        (f"{_TESTS}/test_rules.py", "-k", "not_rules"),
    ),
    Mutant(
        "rules: a broken file is no rules",
        "workers/agent/limits/rules_file.py",
        "            self.problem = str(error)\n",
        "            self.rules, self.problem = Rules(), str(error)\n",
        (f"{_TESTS}/test_rules.py", "-k", "rules_of_before"),
    ),
    Mutant(
        "rules: others read the rules",
        "workers/agent/limits/rules_file.py",
        "to_json(rules), mode=0o600",
        "to_json(rules), mode=0o644",
        (f"{_TESTS}/test_rules.py", "-k", "private"),
    ),
    Mutant(
        "rules: a load that comes and goes flaps",
        "workers/agent/limits/decisions.py",
        "is_bad if now - since >= needed else before.holds)",
        "is_bad)",
        (f"{_TESTS}/test_decisions.py", "-k", "flap"),
    ),
    Mutant(
        "rules: threads follow each look",
        "workers/agent/limits/threads.py",
        "    if now - since >= STEADY_SECONDS:",
        "    if True:",
        (f"{_TESTS}/test_decisions.py", "-k", "for_minutes"),
    ),
    Mutant(
        "rules: threads are chosen before the load is known",
        "workers/agent/limits/decisions.py",
        "    if facts.free_cores is not None:\n        chosen",
        "    if True:\n        chosen",
        (f"{_TESTS}/test_decisions.py", "-k", "first_known"),
    ),
    Mutant(
        "rules: own scripts are foreign",
        "workers/agent/limits/load.py",
        " - (own - own_before)",
        "",
        (f"{_TESTS}/test_probes.py", "-k", "own_scripts"),
    ),
    Mutant(
        "rules: a helper that is gone is believed",
        "workers/agent/limits/presence.py",
        "abs(age) > _FRESH_SECONDS",
        "abs(age) < 0",
        (f"{_TESTS}/test_probes.py", "-k", "outside_of_it"),
    ),
    Mutant(
        "rules: paused, it goes on claiming",
        "workers/agent/loop.py",
        "        if self._limits.pause is not None:\n            return False\n",
        "",
        (f"{_TESTS}/test_limiter.py", "-k", "unreadable"),
    ),
    Mutant(
        "rules: paused, long tasks go on",
        "workers/agent/loop.py",
        "            give_back(self._places.running, pause)",
        "            pass",
        (f"{_TESTS}/test_limiter.py", "-k", "gives_a_long"),
    ),
    Mutant(
        "rules: what is nearly done goes back",
        "workers/agent/limits/limiter.py",
        " and attempt.seconds_left() > pause.finish_seconds",
        "",
        (f"{_TESTS}/test_limiter.py", "-k", "goes_back"),
    ),
    Mutant(
        "rules: a task that was given back looks like a drain",
        "workers/agent/tasks/outcomes.py",
        "    if attempt.stop.reason is StopReason.OWNER:",
        "    if False:",
        (f"{_TESTS}/test_limiter.py", "-k", "gives_a_long"),
    ),
    Mutant(
        "rules: a rule outranks the command line",
        "workers/agent/limits/limiter.py",
        "replace(self._file.rules, **self._overrides)",
        "replace(self._file.rules)",
        (f"{_TESTS}/test_limiter.py", "-k", "outranks"),
    ),
    Mutant(
        "priority: scripts compete with their owner",
        "workers/agent/processes/guardian.py",
        "            if refused := stand_back(priority, guardian.cgroup):",
        '            if refused := "":',
        ("tests/agent/processes/test_priority.py", "-k", "before_the_script"),
    ),
    Mutant(
        "classes: a worker with other threads is the same machine",
        "campaigns/lifecycle/classes.py",
        "        return (worker.pk, threads) if is_other else (first[0], None)",
        "        return (first[0], None)",
        ("tests/lifecycle/results/test_classes.py", "-k", "other_threads_is"),
    ),
    Mutant(
        "classes: a calibration with other threads makes a band",
        "campaigns/fleet/speeds.py",
        "        usable = usable.filter(Q(threads=threads) | Q(threads=None))",
        "        pass",
        (
            "tests/lifecycle/results/test_classes.py",
            "tests/lifecycle/results/test_disturbed.py",
            "-k",
            "threads",
        ),
    ),
)
