"""Where the program of the folder begins: one of the agent's own helpers, or the agent."""

from __future__ import annotations

import sys

from workers.agent import executables

if __name__ == "__main__":
    executables.restore_environment()
    if not executables.run_helper():
        from workers.agent.cli import main

        sys.exit(main())
