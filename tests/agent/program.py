"""The agent as a separate program, without the check of torch, which takes seconds.

``python -m tests.agent.program OPTIONS`` otherwise does what ``xeenet-worker OPTIONS`` does: it
sweeps, probes its sandbox, claims over HTTP and runs scripts. The check of torch has its own tests.
"""

from __future__ import annotations

import sys

from workers.agent import cli, isolation
from workers.agent.running.hardware import Machine

if __name__ == "__main__":
    machine = Machine({"torch_version": "2.13.0", "devices": ["cpu"]})
    isolation.inspect_machine = lambda *_, **__: machine  # type: ignore[assignment]
    # Beside the other tests a script that stands back would outlast their patience.
    arguments = ["--priority", "normal", *sys.argv[1:]]
    if "--warm" in arguments:  # importing torch for a spare costs more than most of these tests
        arguments.remove("--warm")
    else:
        arguments.append("--cold")
    sys.exit(cli.main(arguments))
