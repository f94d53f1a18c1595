"""Guards of an agent that works for one job, and of the end of any agent's life."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_PROGRAM: Final = "tests/agent/ephemeral/test_program.py"
_LIFETIME: Final = "tests/agent/ephemeral/test_lifetime.py"
_JOINING: Final = "tests/agent/ephemeral/test_joining.py"

JOBS: Final = (
    Mutant(
        "job: its state folder stays",
        "workers/agent/ephemeral/scratch.py",
        "        if not remove_folder(root):\n            log.warning",
        "        if False:\n            log.warning",
        (_PROGRAM, "-k", "preempted"),
    ),
    Mutant(
        "job: what a killed one left stays",
        "workers/agent/ephemeral/scratch.py",
        "    remove_leftovers()\n",
        "",
        (_PROGRAM, "-k", "killed_job"),
    ),
    Mutant(
        "job: no good-bye",
        "workers/agent/cli.py",
        "        stack.callback(retire, credentials, client, board)\n",
        "        pass\n",
        (_PROGRAM, "-k", "fails_says_good_bye"),
    ),
    Mutant(
        "job: it retires the worker of a newer agent",
        "workers/agent/leave/goodbye.py",
        "    if board.status.exit_code == EXIT_WORKER_IN_USE:\n",
        "    if False:\n",
        (_PROGRAM, "-k", "newer_agent"),
    ),
    Mutant(
        "job: its machine is that of the container's image",
        "workers/agent/ephemeral/machine_key.py",
        "    if not in_container and (own",
        "    if (own",
        (_JOINING, "-k", "in_a_container"),
    ),
    Mutant(
        "job: a full fleet is asked at once again",
        "workers/agent/enrolment.py",
        "seconds = backoff.next_wait(full.retry_after_seconds)",
        "seconds = backoff.next_wait()",
        (_JOINING, "-k", "counts_as_idle"),
    ),
    Mutant(
        "loop: a claim under way delays what goes back",
        "workers/agent/shutdown.py",
        "            self._places.ask_to_stop()  # the claim must not delay that\n",
        "            pass\n",
        (_LIFETIME, "-k", "without_an_answer"),
    ),
    Mutant(
        "lifetime: a task that may outlast the agent begins",
        "workers/agent/places.py",
        "fitting = (run for run in self._waiting if not run.may_outlast_agent())",
        "fitting = (run for run in self._waiting)",
        (_LIFETIME, "-k", "only_what_fits"),
    ),
    Mutant(
        "lifetime: a claim ahead forgets the run before it",
        "workers/agent/loop.py",
        "self._places.longest_wait() if is_ahead else 0.0",
        "0.0",
        (_LIFETIME, "-k", "room_after"),
    ),
    Mutant(
        "lifetime: a long set-up does not end the try",
        "workers/agent/tasks/runner.py",
        "        if attempt.may_outlast_agent():\n",
        "        if False:\n",
        (_LIFETIME, "-k", "set_up_that_took"),
    ),
    Mutant(
        "lifetime: an older server hands it out again and again",
        "workers/agent/loop.py",
        "                self._lifetime.exhaust()",
        "                pass",
        (_LIFETIME, "-k", "not_asked_again"),
    ),
    Mutant(
        "lifetime: results that wait count as idleness",
        "workers/agent/loop.py",
        "        is_idle = is_idle and not self._outbox.pending_lease_ids()\n",
        "",
        (_LIFETIME, "-k", "no_idleness"),
    ),
    Mutant(
        "lifetime: the server forgets it in a claim",
        "campaigns/lifecycle/claims.py",
        "budget = Q(campaign__time_budget_seconds__lte=longest_budget)",
        "budget = Q()",
        ("tests/api/agents/test_claim.py", "-k", "only_what_is_over"),
    ),
    Mutant(
        "lifetime: the server forgets the guard of work",
        "campaigns/lifecycle/claims.py",
        "    tasks = [task for task in tasks if budgets[task.pk] <= choice.longest_budget]\n",
        "",
        ("tests/api/agents/test_claim.py", "-k", "guard_of_work"),
    ),
)
