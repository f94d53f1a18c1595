"""``make desktop-check``: window, first start and tray icon for real, on a screen that nobody sees.

It starts an X server without a screen, a session bus and a tray, and the desktop worker on them,
beside a double of a server. Then it does what a person does, with a mouse and keys, and looks at
the screen: WebKit stays white on such a screen unless two of its features are off, although its
scripts run, so only pictures tell whether there is anything to see. It counts their colours, and
leaves the pictures for people to look at. CI has none of these programs and does not run it.

Exit status: 0 if everything was seen, 1 if not, 2 if something that it needs is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.agent.server import AgentServer, running_server
from tests.processes import ROOT
from workers.agent.desktop.pythons import Missing, find_web_view
from workers.agent.exits import EXIT_NOT_RUNNING

PROGRAMS: Final = {
    "Xvfb": "xvfb",
    "xdotool": "xdotool",
    "trayer": "trayer",
    "dbus-daemon": "dbus-daemon",
}
# Without them WebKitGTK paints nothing where there is no graphics card.
VARIABLES: Final = {
    "WEBKIT_DISABLE_DMABUF_RENDERER": "1",
    "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
}
SCREEN: Final = (1280, 900)
TRAY: Final = 40  # the square at the lower right in which the icon appears
TOKEN: Final = "xe_0123456789abcdefghijABCDEFGHIJ"
GREEN, QUIET, ACCENT = (46, 107, 62), (115, 123, 131), (11, 92, 173)
LEAST_COLOURS: Final = 100  # of a page with text; a white one has two
PATIENCE_SECONDS: Final = 180.0


class NotSeen(Exception):
    """Something did not appear, or did not happen."""


class Screen:
    """The X server, and the hands of a person on it."""

    def __init__(self, display: str, pictures: Path) -> None:
        self.variables = {**os.environ, **VARIABLES, "DISPLAY": display}
        self._display = display
        self._pictures = pictures
        self._count = 0

    def image(self) -> Any:
        """Return what is on the screen."""
        from PIL import ImageGrab

        return ImageGrab.grab(xdisplay=self._display).convert("RGB")

    def keep(self, name: str) -> None:
        """Save a picture, and say how many colours it has."""
        self._count += 1
        path = self._pictures / f"{self._count}-{name.replace(' ', '-')}.png"
        image = self.image()
        image.save(path)
        print(f"seen: {name} ({colours(image)} colours, {path})", flush=True)

    def do(self, *words: str) -> str:
        """Let xdotool do something; return what it says."""
        ended = subprocess.run(
            ["xdotool", *words], env=self.variables, capture_output=True, text=True, check=False
        )
        return ended.stdout.strip()

    def close(self, window: str) -> None:
        """Ask a window to close, as the cross in its frame does."""
        from Xlib import X, display
        from Xlib.protocol import event

        server = display.Display(self._display)
        target = server.create_resource_object("window", int(window))
        data = (32, [server.intern_atom("WM_DELETE_WINDOW"), X.CurrentTime, 0, 0, 0])
        message = event.ClientMessage(
            window=target, client_type=server.intern_atom("WM_PROTOCOLS"), data=data
        )
        target.send_event(message)
        server.sync()
        server.close()

    def icon(self) -> Any:
        """Return the corner of the tray."""
        width, height = SCREEN
        return self.image().crop((width - TRAY, height - TRAY, width, height))


def colours(image: Any) -> int:
    """Return how many colours a picture has."""
    return len(image.getcolors(1 << 24))


def has(image: Any, colour: tuple[int, int, int], least: int = 20) -> bool:
    """Return whether a colour fills so many pixels."""
    return any(count >= least for count, seen in image.getcolors(1 << 24) if seen == colour)


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    """Return the first true value of ``condition``. Raises `NotSeen`."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.3)
    raise NotSeen(what)


@contextlib.contextmanager
def running(words: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Keep a program running until the block ends."""
    process = subprocess.Popen(words, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(70)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def a_screen(pictures: Path) -> Iterator[Screen]:
    """Start an X server, a session bus and a tray."""
    read, write = os.pipe()
    width, height = SCREEN
    server = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24"]
    quiet = {"stderr": subprocess.DEVNULL}
    bus = ["dbus-daemon", "--session", "--nofork", "--print-address=1"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(server, pass_fds=[write], **quiet))
        os.close(write)
        with os.fdopen(read) as answer:
            screen = Screen(f":{answer.readline().strip()}", pictures)
        session = stack.enter_context(
            running(bus, stdout=subprocess.PIPE, env=screen.variables, **quiet)
        )
        assert session.stdout is not None
        screen.variables["DBUS_SESSION_BUS_ADDRESS"] = session.stdout.readline().strip()
        tray = ["trayer", "--edge", "bottom", "--align", "right", "--widthtype", "request"]
        stack.enter_context(running([*tray, "--height", "32"], env=screen.variables, **quiet))
        yield screen


def window_of(screen: Screen) -> str:
    """Return the window of the worker's program; "" without one. The icon has a longer name."""
    return screen.do("search", "--onlyvisible", "--name", "^XeeNet worker$").partition("\n")[0]


def is_stopped(state: Path) -> bool:
    """Return whether `xeenet-worker status` says that no agent runs."""
    words = [sys.executable, "-m", "workers.agent", "status", "--state-dir", str(state)]
    ended = subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    return ended.returncode == EXIT_NOT_RUNNING


def choose(screen: Screen, *keys: str) -> None:
    """Open the icon's menu and choose from it with keys."""
    width, height = SCREEN
    place = (str(width - TRAY // 2), str(height - TRAY // 2))
    screen.do("mousemove", *place, "click", "3")
    time.sleep(2)
    for key in keys:
        screen.do("key", key)
        time.sleep(0.3)


def walk(screen: Screen, server: AgentServer, state: Path) -> None:
    """Join, look, close, open again, pause and stop, as a person would. Raises `NotSeen`."""
    command = [sys.executable, "-m", "workers.agent", "desktop", "--state-dir", str(state)]
    with running(command, cwd=ROOT, env=screen.variables) as program:
        wait_for("the page of the first start", lambda: colours(screen.image()) > LEAST_COLOURS)
        wait_for("the icon", lambda: has(screen.icon(), QUIET))
        screen.keep("first start and icon")

        screen.do("mousemove", "540", "250", "click", "1")
        screen.do("type", "--delay", "20", f"{server.url}/workers/join/#{TOKEN}")
        wait_for("the test of the server", lambda: has(screen.image(), GREEN))
        screen.keep("the server was tried")
        if server.calls("enrol"):
            raise NotSeen("a first start that sends nothing before it may")

        screen.do("key", "Tab", "Tab", "Return")
        wait_for("joining", lambda: server.calls("enrol"))
        screen.keep("joining")
        wait_for("the first claim", lambda: server.calls("claim"))
        wait_for("the agent's own page", lambda: has(screen.image(), ACCENT, 1000))
        screen.keep("own page of the agent")

        choose(screen)
        screen.keep("menu of the icon")
        screen.do("key", "Escape")
        screen.close(window_of(screen))
        wait_for("the window closed", lambda: not window_of(screen))
        if is_stopped(state):
            raise NotSeen("an agent that works on without its window")
        screen.keep("closed with the icon there")

        width, height = SCREEN
        place = (str(width - TRAY // 2), str(height - TRAY // 2))
        screen.do("mousemove", *place, "click", "1")
        wait_for("the window again", lambda: has(screen.image(), ACCENT, 1000))
        screen.keep("opened by the icon")

        choose(screen, "Up", "Return")  # the last entry
        wait_for("the agent stopped", lambda: is_stopped(state))
        wait_for("the page of a stopped agent", lambda: has(screen.icon(), QUIET))
        time.sleep(5)  # the page asks again, and gets no answer
        screen.keep("stopped by the icon")
        screen.close(window_of(screen))
        wait_for("the program ended", lambda: program.poll() is not None)
        if program.returncode != 0:
            raise NotSeen(f"exit code 0, not {program.returncode}")


def missing() -> list[str]:
    """Return what this check needs and does not have, with the commands that bring it."""
    packages = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    lines = [f"sudo apt-get install {' '.join(packages)}"] if packages else []
    if not all(importlib.util.find_spec(name) for name in ("PIL", "pystray")):
        lines.append(f"{sys.executable} -m pip install pystray Pillow")
    if packages:
        return lines
    read, write = os.pipe()
    with running(["Xvfb", "-displayfd", str(write)], pass_fds=[write], stderr=subprocess.DEVNULL):
        os.close(write)
        with os.fdopen(read) as answer:
            os.environ["DISPLAY"] = f":{answer.readline().strip()}"
        shower = find_web_view()
    if isinstance(shower, Missing):
        lines.append(str(shower))
    return lines


def main() -> int:
    """Run the check; return the exit status."""
    parser = argparse.ArgumentParser(prog="dev.py desktop-check", description=__doc__)
    parser.add_argument("--pictures", type=Path, help="where they go (default: a new folder)")
    options = parser.parse_args()
    if lines := missing():
        print("desktop-check needs more than this machine has:", *lines, sep="\n  ")
        return 2
    pictures = options.pictures or Path(tempfile.mkdtemp(prefix="xeenet-desktop-check-"))
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="xeenet-desktop-") as folder:
        try:
            with a_screen(pictures) as screen, running_server() as server:
                try:
                    walk(screen, server, Path(folder, "state"))
                except NotSeen:
                    screen.keep("what was there instead")
                    raise
        except NotSeen as error:
            print(f"NOT SEEN: {error}")
            return 1
    print(f"All of it was seen. Look at the pictures: {pictures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
