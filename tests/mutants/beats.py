"""Guards of agents' calls before the verbs: the door, heartbeats by statement, presence."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

HEARTBEAT: Final = "campaigns/lifecycle/statements/heartbeat.py"
PRESENCE: Final = "workers/presence.py"
LEAN: Final = "campaigns/api/lean.py"
THROTTLING: Final = "campaigns/api/throttling.py"
SHORT_WAY: Final = "xeenet_site/short_way.py"
BODIES: Final = "workers/api/plain_bodies.py"
_BEATS: Final = ("tests/lifecycle/statements/test_heartbeat.py", "-k", "not histories")
_DOOR: Final = ("tests/access/test_short_way.py",)
_SEEN: Final = ("tests/workers/test_lifecycle.py", "-k", "presence or session")
_PLAIN: Final = ("tests/api/inputs/test_plain_bodies.py",)
_HEALTH: Final = ("tests/running/test_connection_health.py",)

BEATS: Final = (
    Mutant(
        "beat: a disabled worker renews its leases",
        HEARTBEAT,
        "Worker.objects.filter(token_hash=_TOKEN).exclude(state__in=SHUT_OUT)",
        "Worker.objects.filter(token_hash=_TOKEN)",
        _BEATS,
    ),
    Mutant(
        "beat: another worker's lease is renewed",
        HEARTBEAT,
        "state=TaskState.LEASED, worker=key\n",
        "state=TaskState.LEASED\n",
        _BEATS,
        database="postgresql",
    ),
    Mutant(
        "beat: another worker's lease is renewed in steps",
        HEARTBEAT,
        "before_deadline(_NOW), worker=_WORKER)",
        "before_deadline(_NOW))",
        _BEATS,
    ),
    Mutant(
        "beat: after the deadline, too",
        HEARTBEAT,
        'AnyOf("lease_id", _LEASES), before_deadline(now), state',
        'AnyOf("lease_id", _LEASES), state',
        _BEATS,
        database="postgresql",
    ),
    Mutant(
        "beat: after the deadline, too, in steps",
        HEARTBEAT,
        "held_by(_LEASE), before_deadline(_NOW), worker",
        "held_by(_LEASE), worker",
        _BEATS,
    ),
    Mutant(
        "beat: it waits for one task while it holds others",
        HEARTBEAT,
        "IN (SELECT held.pk FROM held)",
        "IN (SELECT campaigns_task.id FROM held)",
        ("tests/lifecycle/statements/test_heartbeat.py", "-k", "another_transaction"),
        database="postgresql",
    ),
    Mutant(
        "beat: progress is kept of a lease that was not renewed",
        HEARTBEAT,
        "renewed & progress.keys()",
        "progress.keys()",
        _BEATS,
    ),
    Mutant(
        "beat: a point that comes again is an error",
        HEARTBEAT,
        "({points} ON CONFLICT DO NOTHING)",
        "({points})",
        _BEATS,
        database="postgresql",
    ),
    Mutant(
        "beat: any number of points per attempt",
        HEARTBEAT,
        "and may_be_too_many(progress):",
        "and False:",
        _BEATS,
        database="postgresql",
    ),
    Mutant(
        "beat: every metric has the points of one",
        HEARTBEAT,
        'f"CASE campaign.metric {values} END"',
        '"given.val_bpb"',
        _BEATS,
        database="postgresql",
    ),
    Mutant(
        "beat: a lease that is not renewed is told to go on",
        HEARTBEAT,
        "        if lease_id not in beat.renewed:",
        "        if False:",
        _BEATS,
    ),
    Mutant(
        "beat: a first one begins no session",
        HEARTBEAT,
        "    if not beat.has_session:",
        "    if False:",
        _BEATS,
    ),
    Mutant(
        "beat: the owner's pause is forgotten",
        HEARTBEAT,
        '    worker_lifecycle.note_owner_pause(worker, data.get("owner_pause"), now=now)\n',
        "",
        _BEATS,
    ),
    Mutant(
        "beat: the usual lease time is every worker's",
        HEARTBEAT,
        "        lease_for=lease_for,",
        "        lease_for=Value(pace.lease_time),",
        _BEATS,
        database="postgresql",
    ),
    Mutant(
        "presence: a closed session stays closed",
        PRESENCE,
        "    return stale | Q(ended_at__isnull=False)",
        "    return stale",
        _SEEN,
    ),
    Mutant(
        "presence: each call is written",
        PRESENCE,
        "Q(last_seen_at=None) | Q(last_seen_at__lt=span.since)",
        "Q(last_seen_at=None) | Q(last_seen_at__lt=span.until)",
        _SEEN,
    ),
    Mutant(
        "presence: a clock that was set back hides a worker",
        PRESENCE,
        " | Q(last_seen_at__gt=span.until)\n\n\n",
        "\n\n\n",
        _SEEN,
    ),
    Mutant(
        "door: a body is judged before its sender",
        LEAN,
        "        except APIException:\n            self._authenticate()\n",
        "        except APIException:\n",
        _DOOR,
    ),
    Mutant(
        "door: what the statement leaves is not authenticated",
        LEAN,
        "            self._authenticate()\n            return None\n",
        "            return None\n",
        _DOOR,
    ),
    Mutant(
        "door: the first call of a minute is not counted",
        LEAN,
        "        if not self._is_counted:\n            caller",
        "        if False:\n            caller",
        _DOOR,
    ),
    Mutant(
        "door: what goes to the verb is counted twice",
        LEAN,
        "        if not self._is_counted:\n            super()",
        "        if True:\n            super()",
        _DOOR,
    ),
    Mutant(
        "door: parameters of the address are ignored",
        LEAN,
        'request.META.get("QUERY_STRING") or ',
        "",
        _DOOR,
    ),
    Mutant(
        "door: tokens that open nothing fill the counts",
        THROTTLING,
        "    except ValueError:\n        return None\n",
        "    except ValueError:\n        count = _count(window.key)\n",
        _DOOR,
    ),
    Mutant(
        "short way: any host will do",
        SHORT_WAY,
        "        request.get_host()\n",
        "",
        _DOOR,
    ),
    Mutant(
        "short way: a session's cookie goes it, too",
        SHORT_WAY,
        ' or request.META.get("HTTP_COOKIE"):',
        ":",
        _DOOR,
    ),
    Mutant(
        "short way: answers may be framed",
        SHORT_WAY,
        '        response.headers.setdefault("X-Frame-Options", settings.X_FRAME_OPTIONS)\n',
        "",
        _DOOR,
    ),
    Mutant(
        "body: null passes for any value",
        BODIES,
        "            elif not nullable:",
        "            elif False:",
        _PLAIN,
    ),
    Mutant(
        "body: a bool passes for a number",
        BODIES,
        "        if type(value) is int and least",
        "        if isinstance(value, int) and least",
        _PLAIN,
    ),
    Mutant(
        "body: a text is kept with its spaces",
        BODIES,
        "        if trims:",
        "        if False:",
        _PLAIN,
    ),
    Mutant(
        "body: a list of any length is read",
        BODIES,
        "        if type(value) is not list or not least <= len(value) <= most:",
        "        if type(value) is not list:",
        _PLAIN,
    ),
    Mutant(
        "connection: one that the server ended is used again",
        "campaigns/lifecycle/statements/prepared.py",
        "    database.close_if_health_check_failed()\n",
        "",
        _HEALTH,
        database="postgresql",
    ),
    Mutant(
        "connection: every open one counts as good",
        "xeenet_site/postgresql/base.py",
        "    return not waiting.poll(0)",
        "    return True",
        _HEALTH,
    ),
)
