"""Guards of calibrations and of the foreign load: who measures when, and what is believed of it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

WHEN: Final = "campaigns/lifecycle/calibrating.py"
TAKING: Final = "campaigns/fleet/calibrations.py"
AGENTS: Final = "workers/agent/tasks/calibration.py"
CLAIMS: Final = "tests/lifecycle/test_calibrating.py"
REPORTS: Final = "tests/api/agents/test_calibration.py"
MEASURING: Final = "tests/agent/test_calibrating.py"
LOAD: Final = "tests/agent/processes/test_foreign_load.py"

SPEEDS: Final = (
    Mutant(
        "speed: a task of a work budget does not wait for the measurement",
        WHEN,
        "            withheld.add(experiment)\n            reasons.append(MEASURES_FIRST)\n",
        "",
        (CLAIMS, "-k", "before_its_first_task"),
    ),
    Mutant(
        "speed: a time budget waits for the measurement, too",
        WHEN,
        "campaigns.exclude(budget_kind=BudgetKind.WORK, experiment__in=self.withheld)",
        "campaigns.exclude(experiment__in=self.withheld)",
        (CLAIMS, "-k", "time_budgets_never_wait"),
    ),
    Mutant(
        "speed: an agent that cannot measure is kept waiting",
        WHEN,
        "        elif calibrates and newest is None:",
        "        elif newest is None:",
        (CLAIMS, "-k", "cannot_measure"),
    ),
    Mutant(
        "speed: a flagged worker gets work budgets",
        WHEN,
        "        if newest is not None and newest.is_held_back:",
        "        if False:",
        (CLAIMS, "-k", "flagged_measurement"),
    ),
    Mutant(
        "speed: it is measured without a pause",
        WHEN,
        "    if now - newest.taken_at >= REPEATED_AFTER:",
        "    if now >= newest.taken_at:",
        (CLAIMS, "-k", "six_hours or before_its_first_task"),
    ),
    Mutant(
        "speed: one slow run is a drift",
        WHEN,
        "    return min(ratios) > DRIFT_SLOWER or",
        "    return max(ratios) > DRIFT_SLOWER or",
        (CLAIMS, "-k", "are_a_drift"),
    ),
    Mutant(
        "speed: runs from before the measurement are a drift",
        WHEN,
        "        started_at__gt=taken_at,\n",
        "",
        (CLAIMS, "-k", "are_a_drift"),
    ),
    Mutant(
        "speed: the measurement of another script counts",
        WHEN,
        "worker=worker, experiment=experiment, script_sha256=script_sha256",
        "worker=worker, experiment=experiment",
        (CLAIMS, "-k", "another_script"),
    ),
    Mutant(
        "speed: a value off the known one is not flagged",
        TAKING,
        "off - admitted_off > KNOWN_VALUE_BOUND",
        "off - admitted_off > 1.0",
        (REPORTS, "-k", "off_the_known_one"),
    ),
    Mutant(
        "speed: a known run without a value passes",
        TAKING,
        "        return None, True\n",
        "        return None, False\n",
        (REPORTS, "-k", "diverged"),
    ),
    Mutant(
        "speed: few shapes are fitted like all",
        TAKING,
        "        if len(shapes) >= len(description.terms):",
        "        if shapes:",
        (REPORTS, "-k", "few_shapes"),
    ),
    Mutant(
        "speed: few shapes scale what another kind of numbers cost",
        TAKING,
        'former.filter(device=report["device"], dtype=report["dtype"])',
        "former",
        (REPORTS, "-k", "another_kind_of_numbers"),
    ),
    Mutant(
        "speed: a repeated report is stored again",
        TAKING,
        'newest.shapes == report["shapes"]:',
        "newest.shapes is None:",
        (REPORTS, "-k", "stored_once"),
    ),
    Mutant(
        "speed: calibrations grow without bound",
        TAKING,
        "        worker.calibrations.exclude(pk__in=list(kept)).delete()\n",
        "",
        (REPORTS, "-k", "newest_calibrations_are_kept"),
    ),
    Mutant(
        "speed: an uploaded script is the catalog's",
        TAKING,
        "name=experiment, origin=PackageOrigin.BUILTIN",
        "",
        (REPORTS, "-k", "no_uploaded"),
    ),
    Mutant(
        "speed: a report has any size",
        "campaigns/api/views/calibrations.py",
        "    max_bytes = MAX_CALIBRATION_BYTES\n",
        "",
        (REPORTS, "-k", "body_is_bounded"),
    ),
    Mutant(
        "speed: the agent claims while it measures",
        "workers/agent/loop.py",
        " or self._calibrator.keeps_from_claiming:\n            return False",
        ":\n            return False",
        (MEASURING, "-k", "after_the_task"),
    ),
    Mutant(
        "speed: the agent measures while a task runs",
        "workers/agent/loop.py",
        "is_idle = self._places.is_empty and not is_paused",
        "is_idle = not is_paused",
        (MEASURING, "-k", "after_the_task"),
    ),
    Mutant(
        "speed: a signal to stop waits for the measurement",
        "workers/agent/loop.py",
        "            self._calibrator.stop()\n",
        "",
        (MEASURING, "-k", "ends_it_at_once"),
    ),
    Mutant(
        "speed: a drained worker measures on",
        AGENTS,
        "        if not is_active:\n            self.stop()\n        elif",
        "        if",
        (MEASURING, "-k", "ends_it_at_once"),
    ),
    Mutant(
        "speed: a measurement that failed is tried again at once",
        AGENTS,
        "        self._retry_at = time.monotonic() + RETRY_SECONDS\n",
        "",
        (MEASURING, "-k", "not_tried_again"),
    ),
    Mutant(
        "speed: an agent measures a script that it does not have",
        AGENTS,
        "        if not _is_here(order):",
        "        if False:",
        (MEASURING, "-k", "another_script"),
    ),
    Mutant(
        "speed: places stand idle until a long task ends",
        AGENTS,
        "<= MOST_WAIT_SECONDS for attempt",
        "<= 1e9 for attempt",
        (MEASURING, "-k", "stand_idle"),
    ),
    Mutant(
        "speed: too few steps tell a speed",
        AGENTS,
        '    if metrics["steps_completed"] < min(_FEWEST_STEPS, shape.steps):',
        "    if False:",
        (MEASURING, "-k", "a_few_steps"),
    ),
    Mutant(
        "foreign load: ended processes of the run are foreign",
        "workers/agent/processes/guardian.py",
        "for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)",
        "for who in (resource.RUSAGE_SELF,)",
        (LOAD, "-k", "count_as_the_runs_own"),
    ),
    Mutant(
        "foreign load: what a hypervisor takes is idle",
        "workers/agent/processes/foreign_load.py",
        '"softirq", "steal")',
        '"softirq")',
        (LOAD, "-k", "counts_as_busy"),
    ),
    Mutant(
        "foreign load: the run's own work counts",
        "workers/agent/processes/foreign_load.py",
        "busy_seconds(before) - own_seconds",
        "busy_seconds(before)",
        (LOAD, "-k", "counts_as_busy"),
    ),
    Mutant(
        "foreign load: it is lost on the way",
        "campaigns/lifecycle/completions.py",
        '        foreign_load=body.get("foreign_load"),\n',
        "",
        ("tests/lifecycle/results/test_submit.py", "-k", "foreign_load"),
    ),
)
