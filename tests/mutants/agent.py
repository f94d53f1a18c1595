"""Guards of the agent: results on disk, bounded readers, nothing left alive."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

AGENT: Final = (
    Mutant(
        "outbox: a result is sent before it is on disk",
        "workers/agent/outbox.py",
        "                os.fsync(file.fileno())\n            temporary",
        "            temporary",
        (
            "tests/test_agent_outbox.py",
            "-k",
            "synced_before_it_takes_its_name",
        ),
    ),
    Mutant(
        "outbox: results of a former start are forgotten",
        "workers/agent/outbox.py",
        "        self._changed = threading.Event()\n        self._load()\n",
        "        self._changed = threading.Event()\n",
        ("tests/test_agent_outbox.py",),
    ),
    Mutant(
        "outbox: full, it lets the agent claim",
        "workers/agent/outbox.py",
        "        if len(entries) >= MAX_ENTRIES or size_bytes >= MAX_BYTES:",
        "        if len(entries) > 2 * MAX_ENTRIES:",
        ("tests/test_agent_outbox.py",),
    ),
    Mutant(
        "readers: an endless line is kept",
        "workers/agent/readers.py",
        "        if not self._dropping and len(self._partial) + len(piece) <= self._limit_bytes:",
        "        if not self._dropping:",
        ("tests/test_agent_readers.py",),
    ),
    Mutant(
        "kill: without the walk, the sweep of tags and adoption",
        "workers/agent/process_tree.py",
        "            alive = _alive(self._members() | self._tagged_members())",
        "            alive = _alive([] if self._root is None else [self._root])",
        (
            "tests/test_agent_execution.py",
            "-k",
            "detached_grandchild or leaves_running",
        ),
    ),
)
