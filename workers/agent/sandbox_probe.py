"""Look out of the sandbox from inside and say what can be reached that must not be.

Run as a plain file with the argument STATE_FOLDER, in a folder that may be written; prints one
JSON line ``{"problems": [...]}``.
"""

import json
import socket
import sys
import tempfile
from pathlib import Path


def problems(state_folder: Path) -> list[str]:
    """Return one sentence for each thing that is not as a sandbox has it."""
    found = []
    inside = Path.cwd()
    # The folders above the task folder exist as mount points, with nothing else in them.
    seen = {path for path in state_folder.rglob("*") if not path.is_relative_to(inside)}
    if seen - set(inside.parents):
        found.append("the agent's state folder can be read")
    if [name for _, name in socket.if_nameindex() if name != "lo"]:
        found.append("there is a network")
    # Only bubblewrap's own first process and this one live here.
    if sum(path.name.isdigit() for path in Path("/proc").iterdir()) > 2:
        found.append("processes outside can be seen")
    for folder in ("/", "/tmp", "/dev", "/usr", str(Path(sys.executable).parent)):  # noqa: S108
        if can_write(folder):
            found.append(f"{folder} can be written")
    if not can_write(str(inside)):
        found.append("the task folder cannot be written")
    return found


def can_write(folder: str) -> bool:
    """Return whether a file can be made in ``folder``."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    print(json.dumps({"problems": problems(Path(sys.argv[1]))}), flush=True)
