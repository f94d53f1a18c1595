"""The worker agent: claims tasks over REST, runs scripts under two deadlines, reports results.

It needs no Django and uses torch only in subprocesses: the installation stays small, and a broken
GPU driver cannot take the agent down. One module per duty:

``cli`` start and exit codes · ``loop`` claim and drain · ``heartbeat`` keep leases alive ·
``runner`` the seven steps of one task · ``execution`` the two deadlines · ``process_tree`` no
process left behind · ``enclosure``, ``guarded`` and ``guardian`` what makes a kill sure ·
``readers`` bounded pipes · ``judgement`` from an ended run to a submission ·
``scripts``/``datasets`` verified inputs · ``outbox`` no finished result gets lost ·
``executables`` which program a start means · ``client`` HTTP, with ``exchange`` (bounded bytes and
seconds), ``server_errors`` and ``replies`` (what to believe) and ``downloads`` ·
``files``/``plain_text`` files and texts of scripts and servers · ``hardware``/``simulate`` what the
machine can do, and the honest fallback when it cannot train.
"""

from typing import Final

AGENT_VERSION: Final = "0.2.0"
