"""The worker agent: claims tasks over REST, runs scripts under two deadlines, reports results.

No Django, and torch only in subprocesses: joining a machine stays a small install, and a broken
GPU driver cannot take the agent down. One module per duty:

``cli`` start and exit codes · ``loop`` claim and drain · ``heartbeat`` keep leases alive ·
``runner`` the seven steps of one task · ``execution`` the two deadlines · ``process_tree`` no
process left behind · ``readers`` bounded pipes · ``judgement`` what an ended run means ·
``scripts``/``datasets`` verified inputs · ``outbox`` nothing finished gets lost · ``client`` HTTP ·
``hardware``/``simulate`` what the machine can do, and the honest fallback when it cannot.
"""

from typing import Final

AGENT_VERSION: Final = "0.1.0"
