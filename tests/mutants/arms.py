"""Guards of arms and seeds: the same params are one arm, and all arms run on the same seeds."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

MAKER: Final = "campaigns/lifecycle/arms.py"
SEEDS: Final = "campaigns/search/seeds.py"
MIGRATION: Final = "campaigns/migrations/0012_arms_of_old_tasks.py"
OF_ARMS: Final = ("tests/lifecycle/test_arms.py",)
OF_SEEDS: Final = ("tests/search/test_seeds.py",)
OF_GROWTH: Final = ("tests/lifecycle/test_growth_verbs.py",)
OF_LAUNCH: Final = ("tests/lifecycle/test_campaign_verbs.py", "-k", "launching")
OF_MIGRATION: Final = ("tests/lifecycle/test_arm_migration.py",)

ARMS: Final = (
    Mutant(
        "arms: each task has a seed of its own",
        MAKER,
        "        if not self._campaign.shares_seeds:",
        "        if True:",
        OF_LAUNCH,
    ),
    Mutant(
        "arms: old campaigns get shared seeds in the middle",
        MAKER,
        "        if not self._campaign.shares_seeds:",
        "        if False:",
        OF_ARMS,
    ),
    Mutant(
        "arms: params are compared as they were written",
        MAKER,
        "        campaign, params = self._campaign, self._space.normalised(params)\n",
        "        campaign = self._campaign\n",
        OF_ARMS,
    ),
    Mutant(
        "arms: the same params are a new arm each time",
        MAKER,
        "        member = self._members.get(digest)",
        "        member = None",
        OF_ARMS,
    ),
    Mutant(
        "arms: a seed is given twice",
        MAKER,
        "        if seed is not None and seed in member.seeds:",
        "        if False:",
        OF_GROWTH,
    ),
    Mutant(
        "arms: the seeds that an arm has had are forgotten",
        MAKER,
        "            members[arm_id].seeds.add(seed)",
        "            pass",
        OF_ARMS,
    ),
    Mutant(
        "arms: later draws depend on the tasks that people add",
        MAKER,
        "        draw = campaign.draws + drawn",
        "        draw = next_task_number(campaign) + drawn",
        OF_GROWTH,
    ),
    Mutant(
        "arms: a seed of the list counts as one outside of it",
        MAKER,
        "            return seed, index_of(base_seed, seed)",
        "            return seed, None",
        OF_ARMS,
    ),
    Mutant(
        "seeds: all base seeds have one list",
        SEEDS,
        'f"{base_seed}:{next(hashes)}"',
        'f"{next(hashes)}"',
        OF_SEEDS,
    ),
    Mutant(
        "seeds: the list does not begin with the base seed",
        SEEDS,
        "    seeds = {base_seed: None}",
        "    seeds = {}",
        OF_SEEDS,
    ),
    Mutant(
        "migration: campaigns from before the arms share their seeds",
        MIGRATION,
        "    launched.update(shares_seeds=False, ",
        "    launched.update(shares_seeds=True, ",
        OF_MIGRATION,
    ),
    Mutant(
        "migration: the same point in two spellings is two arms",
        MIGRATION,
        "            params = _normalised(params, floats)\n",
        "",
        OF_MIGRATION,
    ),
)
