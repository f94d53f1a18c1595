"""The tray icon, as a program of its own; it tells what the person chose, a word a line.

    PYTHON tray_program.py < lines of JSON, each with "title" and "state"

Some desktops show no tray, and pystray's backend for plain X11 has no menu: a click on the icon
then opens the window. So nothing can be done here that the window cannot do, too. It ends with its
stdin, so it never outlives the program that started it.
"""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

SIZE = 64
COLOURS = {"live": (11, 92, 173), "amber": (200, 125, 0), "red": (179, 38, 30)}
QUIET = (115, 123, 131)


def picture(tone: str) -> Any:
    """Return the icon: a ring whose colour says what the worker does."""
    from PIL import Image, ImageDraw

    image = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    colour = (*COLOURS.get(tone, QUIET), 255)
    draw = ImageDraw.Draw(image)
    draw.ellipse((6, 6, SIZE - 6, SIZE - 6), outline=colour, width=10)
    draw.ellipse((25, 25, SIZE - 25, SIZE - 25), fill=colour)
    return image


def find_icon() -> Any:
    """Return pystray with the first backend that works here. Raises ImportError.

    pystray itself gives up at a backend whose library is there, but not all of it.
    """
    backends = ("appindicator", "gtk", "xorg") if sys.platform.startswith("linux") else ("",)
    problem = "no backend"
    for backend in backends:
        if backend:
            os.environ["PYSTRAY_BACKEND"] = backend
        try:
            import pystray

            if has_room(pystray.Icon.__module__):
                return pystray
            problem = "this desktop shows no tray"
        except Exception as error:  # noqa: BLE001 (each library fails in its own way)
            problem = str(error) or type(error).__name__
        for name in [name for name in sys.modules if name.partition(".")[0] == "pystray"]:
            del sys.modules[name]
    raise ImportError(problem)


def has_room(backend: str) -> bool:
    """Return whether this desktop has a tray: without one the libraries wait for ever."""
    if backend.endswith(("_win32", "_darwin")):
        return True
    if backend.endswith(("_appindicator", "_gtk")):
        from gi.repository import Gio, GLib

        bus = Gio.bus_get_sync(Gio.BusType.SESSION)  # both need one
        if backend.endswith("_appindicator"):
            place = "org.freedesktop.DBus"
            asked = GLib.Variant("(s)", ("org.kde.StatusNotifierWatcher",))
            answer = bus.call_sync(
                *(place, "/org/freedesktop/DBus", place, "NameHasOwner", asked, None),
                *(Gio.DBusCallFlags.NONE, 2000, None),
            )
            return bool(answer.unpack()[0])
    from Xlib import X, display

    screen = display.Display()
    tray = screen.intern_atom(f"_NET_SYSTEM_TRAY_S{screen.get_default_screen()}")
    return bool(screen.get_selection_owner(tray) != X.NONE)


def is_seen(icon: Any) -> bool:
    """Return whether the tray took the icon in: one of plain X11 may leave it outside, unseen."""
    if not type(icon).__module__.endswith("_xorg"):
        return True
    from Xlib import X, display

    screen = display.Display()
    window = screen.create_resource_object("window", icon._window.id)  # noqa: SLF001
    for _ in range(50):
        if window.get_attributes().map_state == X.IsViewable:
            return True
        time.sleep(0.1)
    return False


def check(packages: list[str]) -> int:
    """Return 0 where an icon with a menu can be shown, 9 for one without; say why not."""
    sys.path.extend(packages)
    try:
        import PIL.Image  # noqa: F401

        return 0 if find_icon().Icon.HAS_MENU else 9
    except ImportError as error:
        print(error, file=sys.stderr)
        return 1


def main() -> int:
    """Show the icon until stdin ends; return 0."""
    if sys.argv[1:2] == ["--check"]:
        return check(sys.argv[2:])
    order = json.loads(sys.stdin.readline())
    sys.path.extend(order["packages"])  # behind this Python's own
    pystray = find_icon()

    def tell(word: str) -> Callable[..., None]:
        return lambda *_: print(word, flush=True)

    item = pystray.MenuItem
    icon: Any = None
    menu = pystray.Menu(
        item(lambda _: icon.title, None, enabled=False),
        item("Open", tell("open"), default=True),
        pystray.Menu.SEPARATOR,
        item("Pause for an hour", tell("pause 1h")),
        item("Pause for 8 hours", tell("pause 8h")),
        item("End the pause", tell("pause off")),
        pystray.Menu.SEPARATOR,
        item("Stop the worker", tell("stop")),
    )
    icon = pystray.Icon("xeenet-worker", picture(order["tone"]), order["title"], menu)

    def follow() -> None:
        for line in sys.stdin:
            now = json.loads(line)
            icon.title = now["title"]
            icon.icon = picture(now["tone"])
            if icon.HAS_MENU:
                icon.update_menu()
        icon.stop()

    def ready(shown: Any) -> None:
        shown.visible = True
        if not is_seen(shown):
            print("no tray", flush=True)
            shown.stop()
            return
        print("shown" if shown.HAS_MENU else "shown without a menu", flush=True)
        threading.Thread(target=follow, daemon=True).start()

    try:
        icon.run(setup=ready)
    except BaseException:  # noqa: BLE001 (printed)
        traceback.print_exc()
        os._exit(1)  # pystray's own thread waits for ever
    return 0


if __name__ == "__main__":
    sys.exit(main())
