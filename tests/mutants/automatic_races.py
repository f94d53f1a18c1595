"""Guards of the race that begins by itself, of `finish`, and of what a decision tells."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

DUE: Final = "campaigns/lifecycle/race_due.py"
ENDINGS: Final = "campaigns/lifecycle/endings.py"
RACES: Final = "campaigns/lifecycle/races.py"
START: Final = "campaigns/lifecycle/race_start.py"
ASKING: Final = "campaigns/lifecycle/asking.py"
CAMPAIGNS: Final = "campaigns/lifecycle/campaigns.py"
TESTS: Final = "tests/arms/test_automatic_races.py"
OPTION_TESTS: Final = "tests/arms/test_race_options.py"
FINISH_TESTS: Final = "tests/lifecycle/test_finish.py"
EVENT_TESTS: Final = "tests/notifications/test_events.py"

AUTOMATIC_RACES: Final = (
    Mutant(
        "automatic race: a launch spends the runs of the race",
        CAMPAIGNS,
        "    count = campaign.task_count - kept",
        "    count = campaign.task_count",
        (TESTS, "-k", "launch_keeps"),
    ),
    Mutant(
        "automatic race: a grid loses points to the race",
        DUE,
        "    if not races_automatically or sampler in COVERING:",
        "    if not races_automatically:",
        (TESTS, "-k", "launch_keeps_nothing"),
    ),
    Mutant(
        "automatic race: campaigns that take simulated results race by default",
        DUE,
        "    return task_count >= FEWEST_TASKS and not allow_simulated",
        "    return task_count >= FEWEST_TASKS",
        (OPTION_TESTS, "-k", "from_thirty_tasks_on"),
    ),
    Mutant(
        "automatic race: a campaign completes although its race is due",
        ENDINGS,
        "        if race := due_race(campaign):",
        "        if race := None:",
        (TESTS, "-k", "race_by_themselves"),
    ),
    Mutant(
        "automatic race: it begins in a paused campaign",
        ENDINGS,
        "            if campaign.state == CampaignState.ACTIVE:",
        "            if campaign:",
        (TESTS, "-k", "paused"),
    ),
    Mutant(
        "automatic race: one that became due in a pause is forgotten",
        CAMPAIGNS,
        "    finish_if_done(campaign.pk, now=now)\n",
        "",
        (TESTS, "-k", "when_it_is_resumed"),
    ),
    Mutant(
        "automatic race: it is begun without being asked for",
        DUE,
        "        campaign.races_automatically\n        and ",
        "        ",
        (OPTION_TESTS, "-k", "switched_off"),
    ),
    Mutant(
        "automatic race: it passes the most tasks of a campaign",
        DUE,
        "        and campaign.task_count - campaign.kept_runs + reserve <= MAX_TASKS\n",
        "",
        (OPTION_TESTS, "-k", "without_room"),
    ),
    Mutant(
        "automatic race: arms that can get no result race",
        "campaigns/standings/race_runs.py",
        'result__is_ranked=True, arm__infeasible="")',
        "result__is_ranked=True)",
        (TESTS, "-k", "no_result"),
    ),
    Mutant(
        "automatic race: all arms count as added",
        DUE,
        "            range(last.chosen_from or 0, arms),",
        "            range(arms),",
        (TESTS, "-k", "no_contenders"),
    ),
    Mutant(
        "automatic race: added arms race on seeds that somebody has run",
        DUE,
        '    highest: int = campaign.tasks.aggregate(last=Max("seed_index"))["last"] or 0',
        "    highest: int = 0",
        (TESTS, "-k", "fresh_seeds"),
    ),
    Mutant(
        "automatic race: any race changes the champion",
        DUE,
        "        if chosen_from is not None or champion in arms:",
        "        if arms:",
        (OPTION_TESTS, "-k", "by_hand_among_others"),
    ),
    Mutant(
        "automatic race: a race by hand takes its runs",
        RACES,
        "min(campaign.kept_runs, len(tasks)) if race.chosen_from is not None else 0",
        "min(campaign.kept_runs, len(tasks))",
        (TESTS, "-k", "takes_none_of_the_kept_runs"),
    ),
    Mutant(
        "automatic race: its end gives up no runs",
        RACES,
        "        if race.outcome and race.chosen_from is not None:",
        "        if False:",
        (OPTION_TESTS, "-k", "ends_early"),
    ),
    Mutant(
        "automatic race: a completed campaign keeps runs",
        ENDINGS,
        "    give_up_kept_runs(campaign)\n",
        "",
        (TESTS, "-k", "without_two_values"),
    ),
    Mutant(
        "automatic race: a cancelled campaign keeps runs",
        CAMPAIGNS,
        "        give_up_kept_runs(campaign)\n",
        "",
        (TESTS, "-k", "cancellation"),
    ),
    Mutant(
        "automatic race: switching off takes the runs of a race that runs",
        START,
        "        if races_automatically is False and not is_racing:",
        "        if races_automatically is False:",
        (OPTION_TESTS, "-k", "while_its_race_runs"),
    ),
    Mutant(
        "automatic race: seeds of their own are no obstacle",
        START,
        '    if options.get("races_automatically") and not campaign.shares_seeds:',
        "    if False:",
        (TESTS, "-k", "before_the_arms"),
    ),
    Mutant(
        "automatic race: everybody chooses how arms race",
        "campaigns/steering.py",
        "    _must_change(actor, campaign)\n    with transaction.atomic():\n"
        "        lifecycle.set_race_options(",
        "    with transaction.atomic():\n        lifecycle.set_race_options(",
        ("tests/access/test_authorisation.py",),
    ),
    Mutant(
        "automatic race: kept runs make every count of tasks start again",
        "campaigns/standings/task_counts.py",
        "        if sum(counted.values()) != campaign.tasks_made:",
        "        if sum(counted.values()) != campaign.task_count:",
        ("tests/standings/test_task_counts.py", "-k", "not_counted_again"),
    ),
    Mutant(
        "finish: a campaign completes between two asks",
        ENDINGS,
        "running.filter(Q(asked_at=None) | Q(asked_at__lte=asked_before), ",
        "running.filter(Q(asked_at=None) | Q(asked_at__lte=now), ",
        (FINISH_TESTS, "-k", "between_two_asks"),
    ),
    Mutant(
        "finish: an ask is not remembered",
        ASKING,
        "            Campaign.objects.filter(pk=campaign.pk).update(asked_at=now)\n",
        "",
        (FINISH_TESTS, "-k", "between_two_asks"),
    ),
    Mutant(
        "finish: a completed campaign still waits for an ask",
        ENDINGS,
        "finished_at=now, asked_at=None,",
        "finished_at=now,",
        (FINISH_TESTS, "-k", "an_hour_after"),
    ),
    Mutant(
        "finish: of a campaign that nobody asks",
        ASKING,
        "        if locked.asked_at is None:",
        "        if False:",
        (FINISH_TESTS, "-k", "no_program_asks"),
    ),
    Mutant(
        "finish: of a campaign that has ended",
        ASKING,
        '        if locked.state not in CAMPAIGN_TRANSITIONS["finish"].sources:',
        "        if False:",
        (FINISH_TESTS, "-k", "only_a_running"),
    ),
    Mutant(
        "finish: offered where nobody asks",
        "campaigns/views/head.py",
        'and (name != "finish" or campaign.asked_at is not None)',
        "and name",
        ("tests/pages/campaign/test_campaign_verbs.py", "-k", "finish_is_offered"),
    ),
    Mutant(
        "finish: one campaign that cannot be finished keeps the others waiting",
        ENDINGS,
        "        except Exception:\n",
        "        except ZeroDivisionError:\n",
        (TESTS, "-k", "keeps_no_other_waiting"),
    ),
    Mutant(
        "decided: a cancelled race is told as decided",
        RACES,
        "        if outcome != RaceOutcome.CANCELLED:",
        "        if outcome:",
        (EVENT_TESTS, "-k", "cancelled_race"),
    ),
    Mutant(
        "decided: every look tells it again",
        "campaigns/notifications/events.py",
        'f"decided:{race.pk}"',
        'f"decided:{race.pk}:{now.isoformat()}"',
        (EVENT_TESTS, "-k", "end_of_a_race"),
    ),
    Mutant(
        "decided: several runs are told as one seed",
        "campaigns/notifications/events.py",
        '"leads after one seed" if seeds == 1 else',
        '"leads after one seed" if seeds else',
        (EVENT_TESTS, "-k", "one_of_several_runs"),
    ),
)
