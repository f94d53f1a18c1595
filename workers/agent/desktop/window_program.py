"""The window, as a program of its own: shows one address until the person closes it.

    PYTHON window_program.py < a JSON object

It imports nothing of this package, because the Python that has the system's web view is often not
the agent's: PyGObject comes from the distribution. ``packages`` of the object are folders in which
the agent's Python has pywebview, which is plain Python. The address comes by stdin, since every
user of the machine can read command lines.
"""

import json
import os
import sys
from typing import Any


def main() -> int:
    """Show the window; return 0 once it is closed."""
    order = json.loads(sys.stdin.readline())
    sys.path.extend(order["packages"])  # behind this Python's own
    for name, value in order["variables"].items():
        os.environ.setdefault(name, value)
    import webview

    window: Any = webview.create_window(
        order["title"],
        order["address"],
        width=order["width"],
        height=order["height"],
        min_size=(360, 480),
        text_select=True,
    )
    window.events.shown += lambda: print("opened", flush=True)
    # Links to the server's pages belong into the person's browser, not into this window.
    webview.settings["OPEN_EXTERNAL_LINKS_IN_BROWSER"] = True
    webview.start(private_mode=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
