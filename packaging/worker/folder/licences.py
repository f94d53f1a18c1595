"""Put the licence of every part of the folder beside it: `python licences.py FOLDER WORK`.

It runs with the Python that PyInstaller ran with. WORK is the folder in which that listed what
it took. A part without a licence is an error, so that none is given away without its terms.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

NAMES = re.compile(r"(licen[cs]e|copying|notice|authors)", re.IGNORECASE)
DOCUMENTS = Path("/usr/share/doc")


def sources(work: Path) -> list[tuple[Path, str]]:
    """Return where each file of the folder came from, and PyInstaller's word for its kind."""
    entries: list[tuple[Path, str]] = []
    for listing in ("COLLECT-00.toc", "PYZ-00.toc"):
        for part in ast.literal_eval((work / listing).read_text()):
            if isinstance(part, list):
                entries += [(Path(source).absolute(), kind) for _, source, kind in part]
    return entries


def packages(paths: list[Path]) -> set[str]:
    """Return the names of the installed packages that these files belong to."""
    owners = {
        os.path.normpath(str(file.locate())): package.name
        for package in metadata.distributions()
        for file in package.files or ()
    }
    return {owners[str(path)] for path in paths if str(path) in owners}


def of_package(name: str) -> list[Path]:
    """Return the licence files of an installed package."""
    files = metadata.files(name) or ()
    return [
        Path(str(file.locate()))
        for file in files
        if ".dist-info" in file.parts[0] and NAMES.match(file.name)
    ]


def of_python() -> list[Path]:
    """Return Python's licence, which names those of what is built into it."""
    places = (Path(sysconfig.get_path("stdlib")), Path(sys.base_prefix), DOCUMENTS / "python3")
    found = [place / name for place in places for name in ("LICENSE.txt", "LICENSE", "copyright")]
    return [path for path in found if path.is_file()][:1]


def of_library(path: Path) -> tuple[str, list[Path]]:
    """Return the name and the licence of the system's package that a library comes from."""
    for name in (path, Path("/usr", *path.parts[1:]), Path(os.path.realpath(path))):
        answer = subprocess.run(
            ["dpkg", "--search", str(name)], capture_output=True, text=True, check=False
        )
        if answer.returncode == 0:
            package = answer.stdout.partition(":")[0]
            return package, [DOCUMENTS / package / "copyright"]
    return path.name, []


def main(folder: Path, work: Path) -> int:
    """Copy all licences to FOLDER/licences; return 1 if one is missing."""
    target = folder / "licences"
    shutil.rmtree(target, ignore_errors=True)
    entries = sources(work)
    names = packages([path for path, _ in entries])
    found = {name: of_package(name) for name in sorted(names | {"xeenet-worker"})}
    found["python"] = of_python()
    found["pyinstaller"] = of_package("pyinstaller")  # its launcher is the program's beginning
    own = [Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve()]
    for path, kind in entries:
        is_own = any(map(path.resolve().is_relative_to, own))
        if kind == "BINARY" and not is_own:
            name, files = of_library(path) if shutil.which("dpkg") else (path.name, [])
            found[name] = files
    for name, files in sorted(found.items()):
        for file in files:
            (target / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / name / file.name)
    if missing := sorted(name for name, files in found.items() if not files):
        print(f"no licence was found of: {', '.join(missing)}", file=sys.stderr)
    print(f"{len(found)} parts, {sum(map(len, found.values()))} licences in {target.name}/")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
