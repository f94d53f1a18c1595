"""``python -m workers.agent``: the same program as the ``xeenet-worker`` command."""

from workers.agent.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
