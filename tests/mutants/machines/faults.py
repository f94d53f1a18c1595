"""Guards that faults of processes and networks lean on, taken out under real servers."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

NETWORK: Final = "tests/faults/test_network.py"
RECONNECT: Final = ("tests/faults/test_reconnect.py",)

FAULTS: Final = (
    Mutant(
        "faults: a result whose answer was lost conflicts with itself",
        "campaigns/lifecycle/submissions.py",
        "    if attempt.submission_digest != digest or attempt.answer is None:",
        "    if attempt.answer is not None:",
        (f"{NETWORK}::test_a_hundred_results_whose_first_answer_is_lost_are_each_accepted_once",),
        "postgresql",
    ),
    Mutant(
        "faults: some results are acknowledged and not committed",
        "campaigns/lifecycle/submissions.py",
        "        end_attempt(attempt, end.outcome, end.change, now=now, message=end.message, "
        "**columns)\n",
        "        end_attempt(attempt, end.outcome, end.change, now=now, message=end.message, "
        "**columns)\n"
        "        transaction.set_rollback(attempt.pk % 7 == 0)\n",
        (f"{NETWORK}::test_a_hundred_results_whose_first_answer_is_lost_are_each_accepted_once",),
        "postgresql",
    ),
    Mutant(
        "faults: two servers take one result at the same moment",
        "campaigns/lifecycle/submissions.py",
        'locked = Task.objects.select_for_update(of=("self",)).order_by()',
        "locked = Task.objects.order_by()",
        (NETWORK, "-k", "of_fifty_submissions_at_once"),
        "postgresql",
    ),
    Mutant(
        "faults: without a q-cluster nobody takes a dead agent's task back",
        "campaigns/lifecycle/claims.py",
        "    sweep(now=now)\n",
        "",
        (f"{NETWORK}::test_a_killed_agents_task_is_had_by_the_first_who_asks_after_its_lease",),
        "postgresql",
    ),
    Mutant(
        "faults: what a frozen agent hands in is not kept as late",
        "campaigns/lifecycle/submissions.py",
        "        end_attempt(attempt, end.outcome, end.change,",
        "        if end.outcome != AttemptOutcome.LATE:\n"
        "            end_attempt(attempt, end.outcome, end.change,",
        (NETWORK, "-k", "what_a_frozen_agent_hands_in"),
        "postgresql",
    ),
    Mutant(
        "faults: a submission leaves its mark before its transaction",
        "campaigns/lifecycle/submissions.py",
        "    with transaction.atomic():\n        # The row lock serialises two",
        "    Attempt.objects.filter(lease_id=lease_id).update(submission_digest=digest)\n"
        "    with transaction.atomic():\n        # The row lock serialises two",
        ("tests/faults/test_processes.py", "-k", "killed_within_a_submission"),
        "postgresql",
    ),
    Mutant(
        "faults: the server tells all idle agents to wait equally long",
        "campaigns/answers/leases.py",
        "    return idle * random.uniform(0.5, 1.5)",
        "    return idle",
        RECONNECT,
    ),
    Mutant(
        "faults: agents without a server try again in step",
        "workers/agent/backoff.py",
        "        wait = random.uniform(0.5, 1.0) * longest",
        "        wait = longest",
        RECONNECT,
    ),
    Mutant(
        "faults: agents without a server ask more often than it told them to",
        "workers/agent/backoff.py",
        "        self._first_seconds = max(self._usual_first_seconds, pace_seconds)",
        "        self._first_seconds = self._usual_first_seconds",
        RECONNECT,
    ),
    Mutant(
        "faults: a lease that ran out during the set-up is the machine's fault",
        "workers/agent/tasks/scripts.py",
        "    except (LeaseLost, ServerUnavailable):",
        "    except ServerUnavailable:",
        ("tests/agent/tasks/test_task_files.py", "-k", "lease_that_ran_out"),
    ),
    Mutant(
        "faults: a script that the server does not deliver is the machine's fault",
        "workers/agent/tasks/scripts.py",
        "    except (LeaseLost, ServerUnavailable):",
        "    except LeaseLost:",
        ("tests/agent/tasks/test_task_files.py", "-k", "nobody_is_blamed"),
    ),
    Mutant(
        "faults: a data set that the server does not deliver is the machine's fault",
        "workers/agent/tasks/runner.py",
        "        if away is not None:\n            raise away\n",
        "",
        ("tests/agent/tasks/test_task_files.py", "-k", "nobody_is_blamed"),
    ),
    Mutant(
        "faults: an agent that gets no files claims on at once",
        "workers/agent/pauses.py",
        "            self._agent_until = until\n",
        "            pass\n",
        ("tests/agent/test_loop.py", "-k", "files_the_server_does_not_deliver"),
    ),
)
