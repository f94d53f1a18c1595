"""Report from inside the sandbox what can be reached although it must not be.

Run as a plain file with the argument STATE_FOLDER, in a writable folder; prints one JSON line
``{"problems": [...]}``.
"""

import json
import socket
import sys
import tempfile
from pathlib import Path


def problems(state_folder: Path) -> list[str]:
    """Return one sentence for each hole in the sandbox."""
    sentences = []
    inside = Path.cwd()
    # The folders above the task folder exist as mount points, with nothing else in them.
    visible = {path for path in state_folder.rglob("*") if not path.is_relative_to(inside)}
    if visible - set(inside.parents):
        sentences.append("the agent's state folder can be read")
    if [name for _, name in socket.if_nameindex() if name != "lo"]:
        sentences.append("there is a network")
    # Only bubblewrap's own first process and this process live in the sandbox.
    if sum(path.name.isdigit() for path in Path("/proc").iterdir()) > 2:
        sentences.append("processes outside can be seen")
    for folder in ("/", "/tmp", "/dev", "/usr", str(Path(sys.executable).parent)):  # noqa: S108
        if can_write(folder):
            sentences.append(f"{folder} can be written")
    if not can_write(str(inside)):
        sentences.append("the task folder cannot be written")
    return sentences


def can_write(folder: str) -> bool:
    """Return whether a file can be created in ``folder``."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    print(json.dumps({"problems": problems(Path(sys.argv[1]))}), flush=True)
