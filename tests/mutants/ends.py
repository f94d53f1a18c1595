"""Guards of the statements that end attempts, of what is noted later, and of lists of results."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

ENDS: Final = "campaigns/lifecycle/statements/ends.py"
RUNNING: Final = "campaigns/lifecycle/statements/running.py"
SUBMIT: Final = "campaigns/lifecycle/statements/submit.py"
RELEASE: Final = "campaigns/lifecycle/statements/release.py"
NOTING: Final = "campaigns/lifecycle/noting.py"
ENDINGS: Final = "campaigns/lifecycle/endings.py"
LISTS: Final = "campaigns/api/views/results_of_agents.py"
OUTBOX: Final = "workers/agent/delivery/outbox.py"
STATEMENTS: Final = "tests/lifecycle/statements/test_submit.py"
NOTED: Final = "tests/lifecycle/test_noting.py"
LISTED: Final = "tests/api/agents/test_results.py"
SENT: Final = "tests/agent/delivery/test_outbox_lists.py"

_STATEMENTS: Final = (
    Mutant(
        "end by statement: any lease of the task will do",
        ENDS,
        "return Task.objects.filter(held_by(lease_id), Exists(running), pk=task)",
        "return Task.objects.filter(Exists(running), pk=task)",
        (STATEMENTS, "-k", "lease_has_ended_since"),
    ),
    Mutant(
        "end by statement: any lease of the task will do (PostgreSQL)",
        ENDS,
        "return Task.objects.filter(held_by(lease_id), Exists(running), pk=task)",
        "return Task.objects.filter(Exists(running), pk=task)",
        (STATEMENTS, "-k", "lease_has_ended_since"),
        "postgresql",
    ),
    Mutant(
        "end by statement: an attempt that has ended ends again",
        ENDS,
        "return Task.objects.filter(held_by(lease_id), Exists(running), pk=task)",
        "return Task.objects.filter(held_by(lease_id), pk=task)",
        (STATEMENTS, "-k", "lease_has_ended_since"),
    ),
    Mutant(
        "end by statement: the attempt of a task that did not move ends",
        ENDS,
        'Sql("given JOIN moved ON moved.id = given.task_id"),',
        'Sql("given LEFT JOIN moved ON moved.id = given.task_id"),',
        (STATEMENTS, "-k", "lease_has_ended_since"),
        "postgresql",
    ),
    Mutant(
        "end by statement: the journal tells of ends that were not",
        ENDS,
        "AS given JOIN ended ON ended.id = given.attempt_id",
        "AS given LEFT JOIN ended ON ended.id = given.attempt_id",
        (STATEMENTS, "-k", "lease_has_ended_since"),
        "postgresql",
    ),
    Mutant(
        "end by statement: the rows of an end that was not are written (SQLite)",
        ENDS,
        '            if not run(statements.task, keys | {"now": now}):\n                continue\n',
        '            run(statements.task, keys | {"now": now})\n',
        (STATEMENTS, "-k", "lease_has_ended_since"),
    ),
    Mutant(
        "end by statement: a race waits for what is noted later",
        ENDS,
        '"AND NOT EXISTS ({races}) FROM ended',
        '"OR EXISTS ({races}) FROM ended',
        (STATEMENTS, "-k", "pending_task_or_a_race"),
        "postgresql",
    ),
    Mutant(
        "end by statement: a campaign waits for the tasks that end with its last",
        ENDS,
        "return leased.exclude(pk__in=moved).order_by()",
        "return leased.order_by()",
        (NOTED, "-k", "end_a_campaign_together"),
        "postgresql",
    ),
    Mutant(
        "end by statement: whoever knows a lease ends it",
        RUNNING,
        '        worker__token_hash=Slot("token_hash", models.CharField()),\n',
        "",
        (STATEMENTS,),
    ),
    Mutant(
        "end by statement: a disabled worker's token opens it",
        RUNNING,
        'running.exclude(worker__state__in=SHUT_OUT).select_related("worker")',
        'running.select_related("worker")',
        (STATEMENTS, "-k", "not_usual or release"),
    ),
    Mutant(
        "submit by statement: an invented result is a usual one",
        SUBMIT,
        'if body["outcome"] != Outcome.COMPLETED or body.get("simulated"):',
        'if body["outcome"] != Outcome.COMPLETED:',
        (STATEMENTS, "-k", "invented"),
    ),
    Mutant(
        "submit by statement: a replay changes places with nothing",
        SUBMIT,
        "if task.purpose == TaskPurpose.REPLAY or (",
        "if (",
        (STATEMENTS, "-k", "not_usual"),
    ),
    Mutant(
        "submit by statement: an arm stays given up that was fast enough",
        SUBMIT,
        " or (task.max_steps is not None and task.arm.infeasible):",
        ":",
        (STATEMENTS, "-k", "given_up"),
    ),
    Mutant(
        "submit by statement: what is refused is taken",
        SUBMIT,
        "    if why_failed(attempt, body, metrics, now=now):\n        return None\n",
        "",
        (STATEMENTS, "-k", "refused_or_repeated"),
    ),
    Mutant(
        "submit by statement: a hindered run is not repeated",
        SUBMIT,
        "    if is_to_be_repeated(result):\n        return None\n",
        "",
        (STATEMENTS, "-k", "refused_or_repeated"),
    ),
    Mutant(
        "submit by statement: a class that is not known yet is none",
        SUBMIT,
        "        if known is None:\n            return None\n",
        "",
        (STATEMENTS, "-k", "not_usual"),
    ),
    Mutant(
        "submit by statement: a pause outlasts a good result",
        SUBMIT,
        "        worker_lifecycle.note_good_result(worker)\n",
        "        pass\n",
        (STATEMENTS, "-k", "lifts_a_pause"),
    ),
    Mutant(
        "submit by statement: one that cannot be stored fails all",
        SUBMIT,
        "    except (DataError, IntegrityError):\n        return {}",
        "    except ZeroDivisionError:\n        return {}",
        (LISTED, "-k", "database_refuses"),
    ),
    Mutant(
        "submit by statement: the end of a campaign is noted later",
        SUBMIT,
        "        if is_open:\n",
        "        if True:\n",
        (NOTED, "-k", "last_result"),
    ),
    Mutant(
        "release by statement: presence is forgotten",
        RELEASE,
        "    if presence.is_due(worker, now):\n",
        "    if False:\n",
        (STATEMENTS, "-k", "a_release_is_written"),
    ),
)

_NOTED: Final = (
    Mutant(
        "noting: what the database did not take is forgotten",
        NOTING,
        "                self._campaigns |= dict.fromkeys(left)\n",
        "",
        (NOTED, "-k", "keeps_no_other_waiting"),
    ),
    Mutant(
        "noting: one campaign that fails stops the others",
        NOTING,
        "                return [*campaigns[place + 1 :], campaign_id]",
        "                return [campaign_id, *campaigns[place + 1 :]]",
        (NOTED, "-k", "keeps_no_other_waiting"),
    ),
    Mutant(
        "noting: a bug ends the thread",
        NOTING,
        "            except Exception:\n",
        "            except ZeroDivisionError:\n",
        (NOTED, "-k", "logged_and_left_to_the_jobs"),
    ),
    Mutant(
        "noting: the end of the process waits for ever",
        NOTING,
        "                if self._is_closed and left:\n                    break\n",
        "",
        (NOTED, "-k", "database_that_is_away"),
    ),
    Mutant(
        "noting: the end of the process forgets what is left",
        NOTING,
        "        atexit.register(_noter.close)\n",
        "",
        (NOTED, "-k", "when_it_ends"),
    ),
    Mutant(
        "noting: a web server that stops forgets what is left",
        NOTING,
        "        Finalize(None, _noter.close, exitpriority=0)\n",
        "",
        ("tests/faults/test_serving.py", "-k", "stored_last"),
    ),
    Mutant(
        "noting: a forked process waits for its parent's thread",
        NOTING,
        "        os.register_at_fork(after_in_child=_noter.forget)\n",
        "",
        (NOTED, "-k", "when_it_ends"),
    ),
    Mutant(
        "noting: nobody notes the results of a process that died",
        "campaigns/jobs.py",
        "lifecycle.note_missed_results(now=database_now()))",
        "0)",
        ("tests/lifecycle/test_jobs.py", "-k", "missed"),
    ),
    Mutant(
        "noting: the sweep raises every revision again and again",
        ENDINGS,
        "    missed = Q(Exists(results.filter(created_at__gt=since)))\n",
        "    missed = Q(Exists(results))\n",
        (NOTED, "-k", "leaves_alone"),
    ),
    Mutant(
        "noting: the sweep comes before the process that has just stored a result",
        ENDINGS,
        "created_at__lte=now - NOTED_WITHIN)",
        "created_at__lte=now)",
        (NOTED, "-k", "leaves_alone"),
    ),
)

_DELETED: Final = (
    Mutant(
        "journal: a draft that is cancelled meanwhile leaves its journal behind",
        "campaigns/lifecycle/campaigns.py",
        "locked = Campaign.objects.select_for_update().get(pk=campaign.pk)",
        "locked = Campaign.objects.get(pk=campaign.pk)",
        ("tests/lifecycle/test_claim_races.py", "-k", "is_not_deleted"),
        "postgresql",
    ),
    Mutant(
        "journal: a campaign that was launched is deleted",
        "campaigns/lifecycle/campaigns.py",
        "        if locked.state != CampaignState.DRAFT:\n            raise WrongState("
        'f"The campaign is {locked.state}; only a draft',
        "        if False:\n            raise WrongState("
        'f"The campaign is {locked.state}; only a draft',
        ("tests/admin/test_campaigns.py", "-k", "launched_meanwhile"),
    ),
)

_LISTS: Final = (
    Mutant(
        "list of results: a lease may stand in it twice",
        LISTS,
        "    if len({item.lease_id for item in items}) < len(items):\n",
        "    if not items:\n",
        (LISTED, "-k", "named_twice"),
    ),
    Mutant(
        "list of results: any number",
        LISTS,
        "    if len(results) > MAX_RESULTS_PER_REQUEST:\n",
        "    if not results:\n",
        (LISTED, "-k", "no_list_of_results"),
    ),
    Mutant(
        "list of results: it counts as one request",
        LISTS,
        "return len(self._checked) if isinstance(self._checked, list) else 1",
        "return 1",
        (LISTED, "-k", "counts_for_the_limit"),
    ),
    Mutant(
        "list of results: one that fails fails all",
        LISTS,
        "        except Exception as error:  # noqa: BLE001",
        "        except ZeroDivisionError as error:  # noqa: BLE001",
        (LISTED, "-k", "costs_the_others_nothing"),
    ),
    Mutant(
        "list of results: each of a new worker goes alone",
        LISTS,
        "                self.take(worker.token_hash, items)\n",
        "                pass\n",
        (LISTED, "-k", "new_worker"),
    ),
    Mutant(
        "outbox: a server that takes no lists gets one",
        OUTBOX,
        "        if Feature.RESULT_LISTS not in client.heard_features:\n            return None\n",
        "",
        (SENT, "-k", "does_not_name_the_feature"),
    ),
    Mutant(
        "outbox: a list is larger than the server reads",
        OUTBOX,
        " or size_bytes + more_bytes > _BATCH_BYTES",
        "",
        (SENT, "-k", "split_by_bytes"),
    ),
    Mutant(
        "outbox: a list that does not get through is sent again and again",
        OUTBOX,
        "                self._alone_until = time.monotonic() + _ALONE_SECONDS\n",
        "",
        (SENT, "-k", "the_next_too"),
    ),
    Mutant(
        "outbox: a busy server gets the results alone at once",
        OUTBOX,
        "                if isinstance(error, ServerUnavailable) and _is_away(error):\n"
        "                    return error\n",
        "",
        (SENT, "-k", "busy_server"),
    ),
    Mutant(
        "outbox: what the server cannot read in a list is set aside",
        OUTBOX,
        "                elif isinstance(answer, RequestRefused) and _is_final(answer):\n",
        "                elif isinstance(answer, RequestRefused):\n",
        (SENT, "-k", "as_if_it_had_come_alone"),
    ),
)

ENDS_TOGETHER: Final = (*_STATEMENTS, *_NOTED, *_DELETED, *_LISTS)
