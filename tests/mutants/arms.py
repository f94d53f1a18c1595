"""Guards of arms, their seeds, and the races of a campaign on the server."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

MAKER: Final = "campaigns/lifecycle/arms.py"
SEEDS: Final = "campaigns/search/seeds.py"
MIGRATION: Final = "campaigns/migrations/0012_arms_of_old_tasks.py"
OF_ARMS: Final = ("tests/arms/test_arms.py",)
OF_SEEDS: Final = ("tests/search/test_seeds.py",)
OF_GROWTH: Final = ("tests/lifecycle/test_growth_verbs.py",)
OF_LAUNCH: Final = ("tests/lifecycle/test_campaign_verbs.py", "-k", "launching")
RACES: Final = "campaigns/lifecycle/races.py"
RACE_RUNS: Final = "campaigns/standings/race_runs.py"
START: Final = "campaigns/lifecycle/race_start.py"
OF_RACES: Final = ("tests/arms/test_races.py",)
DRAWING: Final = "campaigns/lifecycle/drawing.py"
OF_DRAWING: Final = ("tests/lifecycle/test_drawing.py", "-k", "not killed")
OF_DRAWING_RACE: Final = ("tests/lifecycle/test_drawing.py", "-k", "drew_meanwhile")
OF_MIGRATION: Final = ("tests/arms/test_arm_migration.py",)

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
        "        params = self._space.normalised(params)\n",
        "",
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
        "        if seed is not None and (\n",
        "        if False and (\n",
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
        "arms: the first seeds that an arm has had are forgotten",
        MAKER,
        "                members[arm_id].next_index = number",
        "                pass",
        OF_ARMS,
    ),
    Mutant(
        "arms: a seed is missed where others are counted",
        MAKER,
        "            if number == listed == (last or 0) + 1:",
        "            if number == listed:",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: a launch makes all tasks in its request",
        "campaigns/lifecycle/campaigns.py",
        "drawn_points(campaign, min(count, SLICE), of=count)",
        "drawn_points(campaign, count)",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: a launch is refused when its first slice cannot run",
        "campaigns/lifecycle/campaigns.py",
        "    if work is not None and count > drawn:",
        "    if False:",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: a slice is drawn twice",
        DRAWING,
        "        if locked.draws != campaign.draws or not locked.undrawn_tasks:",
        "        if not locked.undrawn_tasks:",
        OF_DRAWING_RACE,
    ),
    Mutant(
        "drawing: a slice is counted without its tasks",
        DRAWING,
        "        tasks = make_drawn(locked, points)\n        note_drawn(locked, tasks)",
        "        note_drawn(locked, points)\n        tasks = make_drawn(locked, points)",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: a campaign completes while tasks are to be made",
        "campaigns/lifecycle/endings.py",
        ", undrawn_tasks=0)",
        ")",
        (OF_DRAWING[0], "-k", "drew_and_ran_meanwhile"),
    ),
    Mutant(
        "drawing: nothing is made where no job runs",
        "campaigns/lifecycle/endings.py",
        "    if draw_slice(campaign_id, now=now):",
        "    if False:",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: arms race while tasks are to be made",
        START,
        "        if locked.undrawn_tasks:",
        "        if False:",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: a cancelled campaign waits for its tasks",
        "campaigns/lifecycle/campaigns.py",
        "        give_up_undrawn(campaign)\n",
        "",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: a point that cannot be drawn is tried for ever",
        DRAWING,
        "        if problem and not points:",
        "        if False:",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: a job does not ask for the next",
        "campaigns/jobs.py",
        "    if drawn and campaign_id is not None:",
        "    if False:",
        OF_DRAWING,
    ),
    Mutant(
        "drawing: a repeated run counts the tasks anew",
        "campaigns/lifecycle/replays.py",
        '            task_count=F("task_count") + 1, ',
        "            task_count=campaign.tasks.count(), ",
        OF_DRAWING,
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
    Mutant(
        "races: a campaign completes while its race runs",
        "campaigns/lifecycle/endings.py",
        "    return unasked.filter(~Exists(still_open), ~Exists(races))",
        "    return unasked.filter(~Exists(still_open))",
        OF_RACES,
    ),
    Mutant(
        "races: a look is decided while the campaign is paused",
        RACES,
        "        if campaign.state != CampaignState.ACTIVE:",
        "        if campaign.state == CampaignState.CANCELLED:",
        OF_RACES,
    ),
    Mutant(
        "races: looks due while paused are forgotten",
        "campaigns/lifecycle/campaigns.py",
        "    decide_races(campaign.pk, now=now)\n",
        "",
        OF_RACES,
    ),
    Mutant(
        "races: a simulated value races",
        RACE_RUNS,
        '    if row["state"] != TaskState.COMPLETED or row["result__simulated"]:',
        '    if row["state"] != TaskState.COMPLETED:',
        OF_RACES,
    ),
    Mutant(
        "races: a failure of the params is only missing",
        RACE_RUNS,
        "        return math.inf if is_own_fault else None",
        "        return None",
        OF_RACES,
    ),
    Mutant(
        "races: results of unlike devices are compared",
        RACE_RUNS,
        '    if not row["result__is_ranked"] or row["result__result_class"] != of_class:',
        '    if not row["result__is_ranked"]:',
        OF_RACES,
    ),
    Mutant(
        "races: arms are picked by values on the seeds of the race",
        START,
        '            highest_seed=last_index["last"] or 0,',
        "            highest_seed=0,",
        OF_RACES,
    ),
    Mutant(
        "races: arms whose results were invented may race",
        START,
        "    invented = {arm for arm, simulated in is_simulated if simulated} - measured",
        "    invented: set[int] = set()",
        OF_RACES,
    ),
    Mutant(
        "races: a cancelled campaign leaves its race running",
        "campaigns/lifecycle/campaigns.py",
        "        cancel_races(campaign, now=now)\n",
        "",
        OF_RACES,
    ),
    Mutant(
        "races: one that cannot be decided keeps all others waiting",
        RACES,
        "        except Exception:\n",
        "        except ZeroDivisionError:\n",
        OF_RACES,
    ),
    Mutant(
        "races: a run that is there is made again",
        RACES,
        "    missing = [run for run in wanted if run not in existing]",
        "    missing = list(wanted)",
        OF_RACES,
    ),
)
