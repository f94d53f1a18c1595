"""Guards of the agent: results on disk, heartbeats, starts and stops."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

AGENT: Final = (
    Mutant(
        "outbox: a result is sent before it is on disk",
        "workers/agent/delivery/outbox.py",
        "write_new(temporary, text, durable=True)",
        "write_new(temporary, text)",
        (
            "tests/agent/delivery/test_outbox.py",
            "-k",
            "synced_before_it_takes_its_name",
        ),
    ),
    Mutant(
        "outbox: results of a former start are forgotten",
        "workers/agent/delivery/outbox.py",
        "        self._load()\n",
        "",
        ("tests/agent/delivery/test_outbox.py",),
    ),
    Mutant(
        "outbox: full, it lets the agent claim",
        "workers/agent/delivery/outbox.py",
        "        if len(entries) >= MAX_ENTRIES or size_bytes >= MAX_BYTES:",
        "        if len(entries) > 2 * MAX_ENTRIES:",
        ("tests/agent/delivery/test_outbox.py",),
    ),
    Mutant(
        "outbox: outbox without the folder's fsync",
        "workers/agent/delivery/outbox.py",
        "            _sync_folder(self._folder)\n",
        "",
        ("tests/agent/delivery/test_outbox.py", "-k", "synced"),
    ),
    Mutant(
        "outbox: outbox forgets at a busy server",
        "workers/agent/delivery/outbox.py",
        "                self._count_waits()\n                if",
        "                self._remove(entry)\n                if",
        ("tests/agent/delivery/test_outbox.py", "-k", "keeps or busy"),
    ),
    Mutant(
        "heartbeat: a cancel is not passed on",
        "workers/agent/delivery/heartbeat.py",
        "if not running or answer",
        "if True or answer",
        ("tests/agent/test_loop.py", "-k", "cancel_and_lost"),
    ),
    Mutant(
        "loop: a full outbox goes on claiming",
        "workers/agent/obstacles.py",
        "if self._outbox.is_full():",
        "if False:",
        ("tests/agent/test_loop.py", "-k", "without_room"),
    ),
    Mutant(
        "loop: SIGTERM does not release",
        "workers/agent/places.py",
        "        if outcome.release_reason:\n",
        "        if False:\n",
        ("tests/agent/test_loop.py", "-k", "sigterm_stops"),
    ),
)
