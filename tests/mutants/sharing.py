"""Guards of fair shares: whose turn it is, what an account has, and what a claim is charged."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

TURNS: Final = "campaigns/sharing/turns.py"
ORDER: Final = "campaigns/sharing/order.py"
CHARGES: Final = "campaigns/lifecycle/charges.py"
SHARES: Final = "campaigns/lifecycle/shares.py"
TURN_BY_TURN: Final = "campaigns/lifecycle/claim_turns.py"
STATEMENT: Final = "campaigns/lifecycle/statements/claim.py"
PICKING: Final = "campaigns/lifecycle/statements/claim_tasks.py"
PURE: Final = "tests/sharing/test_turns.py"
REAL: Final = "tests/lifecycle/test_shares.py"
BY_STATEMENT: Final = "tests/lifecycle/statements/test_claim.py"
FOLDED: Final = "tests/lifecycle/test_charges.py"

SHARING: Final = (
    Mutant(
        "shares: all campaigns weigh the same",
        TURNS,
        "        self._accounts[payer] += seconds / self._claimants[payer].weight\n",
        "        self._accounts[payer] += seconds\n",
        (PURE, "-k", "weight"),
    ),
    Mutant(
        "shares: a turn is a task, however long",
        TURNS,
        "            self._charge(payer, self._claimants[taker].seconds)\n",
        "            self._charge(payer, 1.0)\n",
        (f"{PURE}::test_shares_are_of_time_not_of_tasks",),
    ),
    Mutant(
        "shares: whom the owner put first waits like the others",
        TURNS,
        "        first = min(ranks.values(), default=_NO_PLACE)\n",
        "        first = max(ranks.values(), default=_NO_PLACE)\n",
        (PURE, "-k", "put_first"),
    ),
    Mutant(
        "shares: who takes a turn pays for it",
        TURNS,
        "            self._charge(payer, self._claimants[taker].seconds)\n",
        "            self._charge(taker, self._claimants[taker].seconds)\n",
        (PURE, "-k", "whose_turns_they_were"),
    ),
    Mutant(
        "shares: a turn without a task is paid for",
        TURNS,
        "                    turns.refund(turn)\n",
        "                    pass\n",
        (f"{PURE}::test_a_turn_that_brought_no_task_is_taken_back",),
    ),
    Mutant(
        "shares: a campaign without a further task keeps its turns",
        TURNS,
        "                turns.drop(campaign)\n",
        "                pass\n",
        (PURE, "-k", "without_a_further_task"),
    ),
    Mutant(
        "shares: a claim looks for tasks without end",
        TURNS,
        "MOST_ROUNDS: Final = 16\n",
        "MOST_ROUNDS: Final = 2_000\n",
        (f"{PURE}::test_a_claim_asks_for_the_tasks_of_few_campaigns",),
    ),
    Mutant(
        "shares: equal campaigns are foretold one after the other",
        ORDER,
        "        if len(ending) > 1:\n",
        "        if not given:\n",
        ("tests/sharing/test_order.py::test_equal_campaigns_end_together",),
    ),
    Mutant(
        "shares: a claim takes the same task twice",
        TURN_BY_TURN,
        "                own = own.exclude(pk__in=earlier)\n",
        "                pass\n",
        (f"{REAL}::test_who_has_no_task_left_leaves_the_turns_to_the_others",),
    ),
    Mutant(
        "shares: what is not committed is charged",
        TURN_BY_TURN,
        "    transaction.on_commit(lambda: CHARGES.add(charges), robust=True)\n",
        "    CHARGES.add(charges)\n",
        (f"{REAL}::test_a_claim_that_is_rolled_back_charges_nobody",),
    ),
    Mutant(
        "shares: a claim does not see what this process charged",
        "campaigns/lifecycle/claimants.py",
        "account=claimant.account + outstanding[claimant.campaign]",
        "account=claimant.account",
        (REAL, "-k", "before_the_rows_have_it"),
    ),
    Mutant(
        "shares: drawn tasks come before a race",
        "campaigns/models/task.py",
        '        return fast_enough.order_by("queue_rank", "available_at", "id")\n',
        '        return fast_enough.order_by("available_at", "id")\n',
        (REAL, "-k", "race_comes_before"),
    ),
    Mutant(
        "shares: a new campaign begins with an empty account",
        SHARES,
        '.update(account=Greatest(F("account"), level))',
        '.update(account=F("account"))',
        (REAL, "-k", "new_campaign_begins"),
    ),
    Mutant(
        "shares: a campaign that comes back loses what it was charged",
        SHARES,
        '.update(account=Greatest(F("account"), level))',
        ".update(account=level)",
        (REAL, "-k", "keeps_a_larger"),
    ),
    Mutant(
        "shares: a campaign that nobody may run lets newcomers take the fleet",
        SHARES,
        "    return min(served or [each.account for each in waiting], default=None)\n",
        "    return min([each.account for each in waiting], default=None)\n",
        (REAL, "-k", "no_worker_may_run"),
    ),
    Mutant(
        "shares: a campaign that waits loses its turn",
        SHARES,
        "        least = level - a_round if each.waits else level\n",
        "        least = level\n",
        (REAL, "-k", "waits_for_its_turn"),
    ),
    Mutant(
        "shares: a campaign pays for ever for machines of its own",
        SHARES,
        "min(max(each.account, least), level + max(a_round, MOST_AHEAD))",
        "max(each.account, least)",
        (REAL, "-k", "nobody_pays_for_long"),
    ),
    Mutant(
        "shares: charges that are being written do not count",
        CHARGES,
        "            for campaign, seconds in self._writing.items():\n",
        "            for campaign, seconds in ():\n",
        (FOLDED, "-k", "until_the_rows_have_it"),
    ),
    Mutant(
        "shares: two threads write the same charges",
        CHARGES,
        "        if not self._folds.acquire(blocking=False):\n            return\n",
        "        self._folds.acquire(blocking=False)\n",
        (FOLDED, "-k", "many_threads"),
    ),
    Mutant(
        "shares: every claim writes the accounts",
        CHARGES,
        "        if time.monotonic() - self._folded_at >= FOLDED_EVERY_SECONDS:\n",
        "        if True:\n",
        (FOLDED, "-k", "a_few_times_a_second"),
    ),
    Mutant(
        "shares: a process that ends keeps its charges to itself",
        CHARGES,
        "atexit.register(CHARGES.fold)\n",
        "",
        (FOLDED, "-k", "as_it_ends and ended-"),
    ),
    Mutant(
        "shares: an owner weighs their own campaigns",
        "campaigns/steering.py",
        "    if actor is not None and not roles.may_operate(actor):\n"
        '        raise PermissionDenied("Only operators may set the weight',
        '    if False:\n        raise PermissionDenied("Only operators may set the weight',
        ("tests/api/test_shares.py::test_a_weight_is_for_operators_alone",),
    ),
    Mutant(
        "shares: a campaign behind its owner's first is told to be next",
        "campaigns/sharing/standing.py",
        "    places = {campaign: place for place, campaign in enumerate(order, 1)}\n",
        "    places = {each.campaign: place for place, each in enumerate(known, 1)}\n",
        ("tests/sharing/test_standing.py",),
    ),
    Mutant(
        "shares: a script without approval holds up the order that is shown",
        "campaigns/standings/shares.py",
        " for campaign in queue.others if not campaign.package.may_run}",
        " for campaign in queue.others if campaign.pk < 0}",
        ("tests/api/test_shares.py", "-k", "no_turn"),
    ),
    Mutant(
        "shares: a statement takes the same task twice",
        PICKING,
        "if task.pk not in taken and len(own)",
        "if len(own)",
        (BY_STATEMENT, "-k", "leaves_its_turns"),
    ),
    Mutant(
        "shares: a statement looks only where it has looked",
        PICKING,
        "wanted = {key: number + len(taken) for key, number in numbers.items()}",
        "wanted = dict(numbers)",
        (BY_STATEMENT, "-k", "leaves_its_turns"),
    ),
    Mutant(
        "shares: what a statement hands out is charged to nobody",
        STATEMENT,
        "    charge([(attempt, tasks[attempt.task]) for attempt in attempts], offered.claimants)\n",
        "",
        (BY_STATEMENT, "-k", "is_charged"),
    ),
    Mutant(
        "shares: a campaign without a row is never charged",
        CHARGES,
        "                Share.objects.make(Campaign.objects.filter(pk=campaign))\n",
        "                pass\n",
        (REAL, "-k", "without_a_row"),
    ),
)
