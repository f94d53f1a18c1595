"""Guards of fleets: who enrols, who is retired, who is one owner, and who claims."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

VERBS: Final = "workers/fleets.py"
TESTS: Final = "tests/workers/test_fleets.py"
OWNERS: Final = "tests/lifecycle/test_fleet_owner.py"
DEMAND: Final = "tests/api/fleets/test_demand.py"
IN_USE: Final = "tests/api/agents/test_worker_in_use.py"

FLEETS: Final = (
    Mutant(
        "fleets: a revoked or expired token enrols",
        VERBS,
        "tokens.filter(is_open).update(",
        "tokens.filter().update(",
        (TESTS, "-k", "enrol_nobody"),
    ),
    Mutant(
        "fleets: the bound of live workers is passed",
        VERBS,
        ".count() >= token.max_live:",
        ".count() > token.max_live:",
        (TESTS, "-k", "full_fleet"),
    ),
    Mutant(
        "fleets: a full fleet waits for the q-cluster",
        VERBS,
        "        retire_silent(now=now, of=token)\n",
        "",
        (TESTS, "-k", "without_the_job"),
    ),
    Mutant(
        "fleets: a disabled worker comes back under another name",
        VERBS,
        "of_machine.filter(state=WorkerState.DISABLED).first()",
        "of_machine.none().first()",
        (TESTS, "-k", "disabled_worker"),
    ),
    Mutant(
        "fleets: a worker that holds a lease is retired",
        VERBS,
        "last_seen_at__lt=since, leased_tasks=None",
        "last_seen_at__lt=since",
        (TESTS, "-k", "only_the_silent"),
    ),
    Mutant(
        "fleets: each job measures its machine again",
        VERBS,
        "        _inherit_calibrations(worker)\n",
        "",
        (TESTS, "-k", "share_what_one_measured"),
    ),
    Mutant(
        "fleets: a retired worker is deleted before the next job comes",
        VERBS,
        "        last_seen_at__lt=now - KEPT_FOR,\n",
        "",
        (TESTS, "-k", "after_a_week"),
    ),
    Mutant(
        "fleets: a weaker tier than the token's gets tasks",
        "workers/fleet_token.py",
        "return not self.tier or tier >= IsolationTier(self.tier)",
        "return True",
        (TESTS, "-k", "weaker_tier"),
    ),
    Mutant(
        "fleets: every worker of a fleet is an owner",
        "workers/fleet_token.py",
        "    if worker.fleet_token_id is None:\n",
        "    if worker.pk is not None:\n",
        (OWNERS, "-k", "another_owner or failed_goes or for_nothing"),
    ),
    Mutant(
        "fleets: a fleet pauses a campaign with many names",
        "campaigns/lifecycle/breakers.py",
        '("worker", worker_id) if fleet_token is None else ("fleet", fleet_token)',
        '("worker", worker_id)',
        (OWNERS, "-k", "pauses_no_campaign or one_owner"),
    ),
    Mutant(
        "fleets: the demand counts without end",
        "campaigns/fleet/demand.py",
        ".due(now).order_by()[:most].count()",
        ".due(now).order_by().count()",
        (DEMAND, "-k", "cost_does_not_grow"),
    ),
    Mutant(
        "fleets: the demand wants more workers than the token allows",
        "campaigns/fleet/demand.py",
        "min(self.max_live, -(-tasks // self.slots))",
        "-(-tasks // self.slots)",
        (DEMAND, "-k", "never_wants_more"),
    ),
    Mutant(
        "fleets: the older of two agents claims on",
        "workers/takeover.py",
        "        raise WorkerInUse\n",
        "        pass\n",
        (IN_USE, "-k", "older_agent"),
    ),
)
