"""How do campaigns, tasks and attempts change state? Each verb is one function here.

Campaigns

| verb                 | from                  | to        | refuses with                 |
|----------------------|-----------------------|-----------|------------------------------|
| create_campaign      | –                     | draft     | InvalidCampaign              |
| delete_draft         | draft                 | –         | WrongState                   |
| launch               | draft                 | active    | WrongState, InvalidCampaign  |
| pause                | active                | paused    | WrongState                   |
| resume               | paused                | active    | WrongState                   |
| cancel               | draft, active, paused | cancelled | WrongState                   |
| finish_done_campaigns| active, paused        | completed | – (nothing open, see below)  |
| finish               | active, paused        | completed | WrongState; open tasks and   |
|                      |                       | or same   | the race end first           |
| set_race_options     | draft, active, paused | same, or  | WrongState, InvalidCampaign  |
|                      |                       | completed |                              |
| add_tasks, enqueue,  | active, paused        | same      | WrongState, InvalidCampaign  |
| run_again            | completed             | active    |                              |
| start_race           | active, all drawn     | same      | WrongState, InvalidCampaign  |
|                      | completed             | active    |                              |
| raise_attempts       | active, paused, …     | same      | WrongState when cancelled    |
| retry_task           | completed, …          | active    | WrongState when cancelled    |

A campaign completes when no task is open or yet to be drawn, no race runs or is due, and no outside
program is expected to ask again: its last ask with params is ASK_TIMEOUT_SECONDS old, or somebody
said `finish`.

A launch, or a call for more tasks, makes the first thousand itself; a job draws the others in
slices (`draw_rest`), paused campaigns included. Cancelled meanwhile, the campaign has the tasks
that were made. What people add in between takes the next numbers, and the points drawn later stay
the same.

Tasks (with their attempt)

| verb        | task from             | task to                        | attempt                   |
|-------------|-----------------------|--------------------------------|---------------------------|
| claim       | pending               | leased                         | – → running               |
| ask         | pending or new task,  | leased                         | – → running               |
|             | of one campaign       |                                |                           |
| renew       | leased                | leased                         | running                   |
| release     | leased                | pending                        | running → released        |
| leave       | leased, all of a      | pending                        | running → released        |
|             | worker                |                                |                           |
| expire      | leased, overdue       | pending; failed, losses spent  | running → lost            |
| submit ok   | leased by this lease; | completed                      | running, lost → completed |
|             | pending after a loss  |                                | or diverged               |
| submit ok   | anything else         | same                           | → late                    |
| submit fail | leased by this lease  | pending; failed, tries spent   | running → failed          |
| submit fail | anything else         | same                           | → late                    |
| submit fail | leased by this lease, | pending; failed, nobody is     | running → failed          |
| (too slow)  | under a work budget   | fast enough                    |                           |
| give_up_…   | pending, under a work | failed: nobody is fast enough  | –                         |
| slow_tasks  | budget                |                                |                           |
| give_up_…   | pending replay for    | cancelled: none is there, or   | –                         |
| replays     | another machine       | none takes it within an hour   |                           |
| cancel_task | pending, leased       | cancelled                      | running → cancelled       |
| retry_task  | failed                | pending                        | –                         |

Results (no state, but whether they count)

| verb          | from                       | to                                              |
|---------------|----------------------------|-------------------------------------------------|
| submit ok     | –                          | ranked, implausible, or without a rank          |
| note_measured | ranked, below the bound    | implausible                                     |
| admit         | implausible                | ranked, for good                                |
| submit ok     | disturbed, of a time budget| the same, and its task gets a replay, once      |
| submit ok     | slow set-up, the same      | the same, with a replay for other machines only |
| submit ok     | a replay with less amiss   | stands in for the run it repeats, in each board |

Races (of arms; the rule is in `campaigns.race`)

| verb          | from                                   | to                                  |
|---------------|----------------------------------------|-------------------------------------|
| start_race    | –                                      | running, with the first look's runs |
| nothing is    | –, or ended with arms added since; in  | running, of the best arms of the    |
| open any more | an active campaign that races by itself| screening, or of champion and added |
| a task ends   | running, the look's runs have ended    | running with more runs, or ended    |
| resume        | the same, for what was due while paused| the same                            |
| cancel        | running                                | ended: cancelled                    |

Each verb is one guarded UPDATE on (id, expected state, lease id). An UPDATE that matches no row is
a normal outcome: the row had left the expected state before. `now` is the database's time, read
once by the caller (`campaigns.clock.database_now`). A lease is short and shows that the agent is
alive: heartbeats renew it. The deadline is fixed at the claim: by then the run must have ended.
"""

from campaigns.lifecycle.asking import ask, finish
from campaigns.lifecycle.belief import admit, judge_again, note_measured
from campaigns.lifecycle.campaigns import (
    CampaignSpec,
    cancel,
    check_campaign,
    create_campaign,
    delete_draft,
    launch,
    pause,
    resume,
)
from campaigns.lifecycle.claims import Claim, claim
from campaigns.lifecycle.completions import Answer
from campaigns.lifecycle.drawing import ask_for_the_rest
from campaigns.lifecycle.endings import finish_done_campaigns, finish_if_done, note_missed_results
from campaigns.lifecycle.errors import (
    InvalidCampaign,
    LeaseLost,
    LeaseUnknown,
    LifecycleError,
    ResultConflict,
    WrongState,
)
from campaigns.lifecycle.expiry import expire
from campaigns.lifecycle.growth import (
    MOST_TIMES_AGAIN,
    add_tasks,
    draw_rest,
    enqueue,
    raise_attempts,
    run_again,
)
from campaigns.lifecycle.journal import SERVER, Actor, person
from campaigns.lifecycle.leases import (
    cancel_task,
    leave,
    release,
    renew,
    retry_task,
)
from campaigns.lifecycle.notes import write_note
from campaigns.lifecycle.pace import next_pace
from campaigns.lifecycle.race_start import set_race_options, start_race
from campaigns.lifecycle.races import decide_due_races
from campaigns.lifecycle.replays import give_up_replays, repeat_missed
from campaigns.lifecycle.shares import level_accounts, set_place, set_weight
from campaigns.lifecycle.slowness import give_up_slow_tasks
from campaigns.lifecycle.submissions import submit

__all__ = [
    "MOST_TIMES_AGAIN",
    "SERVER",
    "Actor",
    "Answer",
    "CampaignSpec",
    "Claim",
    "InvalidCampaign",
    "LeaseLost",
    "LeaseUnknown",
    "LifecycleError",
    "ResultConflict",
    "WrongState",
    "add_tasks",
    "admit",
    "ask",
    "ask_for_the_rest",
    "cancel",
    "cancel_task",
    "check_campaign",
    "claim",
    "create_campaign",
    "decide_due_races",
    "delete_draft",
    "draw_rest",
    "enqueue",
    "expire",
    "finish",
    "finish_done_campaigns",
    "finish_if_done",
    "give_up_replays",
    "give_up_slow_tasks",
    "judge_again",
    "launch",
    "leave",
    "level_accounts",
    "next_pace",
    "note_measured",
    "note_missed_results",
    "pause",
    "person",
    "raise_attempts",
    "release",
    "renew",
    "repeat_missed",
    "resume",
    "retry_task",
    "run_again",
    "set_place",
    "set_race_options",
    "set_weight",
    "start_race",
    "submit",
    "write_note",
]
