"""``make images``: the images of Containerfile, built and run as compose.yaml says.

buildah builds them in a chroot, on a Debian that mmdebstrap makes, since neither needs an engine or
a registry. The services then run in a network that reaches nothing but itself: PostgreSQL,
migrations, web server, background jobs, TLS proxy, and a worker that enrols and delivers results of
real training. Everything is stopped and started again; the results must still be there. Stand-ins
made of Debian's packages replace the images of PostgreSQL and Caddy. The last lines are sizes and
times.

Exit status: 0 if everything worked, 1 if not, 2 where this machine cannot build images.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.images.building import PROGRAMS, Failed, Storage, build_all, run, what_is_missing
from tests.images.trial import Trial
from tests.processes import ROOT

_NEW_NETWORK = "XEENET_IMAGES_IN_A_NETWORK_OF_ITS_OWN"


def main(arguments: Sequence[str]) -> int:
    """Build, run, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="make images",
        allow_abbrev=False,
        description="Build the images and run the services of compose.yaml with them.",
        epilog=f"Needs Linux, root, and {', '.join(sorted(PROGRAMS))}.",
    )
    add = parser.add_argument
    add("--budget", type=float, default=12.0, metavar="SECONDS", help="of each task (default 12)")
    add(
        "--torch",
        default="index",
        metavar="BUILD",
        help="which build of torch the worker gets, as TORCH in Containerfile (default: index, "
        "what this machine's pip finds)",
    )
    add("--place", type=Path, metavar="FOLDER", help="keep the images there for the next time")
    options = parser.parse_args(arguments)
    if problem := what_is_missing():
        print(problem, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="xeenet-images-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        storage = Storage((options.place or work / "storage").absolute())
        try:
            return _build_and_run(storage, work, options)
        finally:
            if options.place is None:
                subprocess.run(storage.words("rm", "--all"), check=False, capture_output=True)
                subprocess.run(storage.words("rmi", "--all"), check=False, capture_output=True)


def _build_and_run(storage: Storage, work: Path, options: argparse.Namespace) -> int:
    try:
        built = build_all(storage, work, options.torch)
    except Failed as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("\nimage                                    on disk      to build")
    for image in built:
        print(f"{image.name:<36}{image.bytes_on_disk / 1e6:>9.0f} MB{image.seconds:>11.1f} s")
    print(flush=True)
    words = ["unshare", "--net", sys.executable, "-m", "tests.images"]
    words += ["--budget", str(options.budget), "--place", str(storage.place)]
    return subprocess.run(
        words, cwd=ROOT, env={**os.environ, _NEW_NETWORK: str(work)}, check=False
    ).returncode


def try_out(arguments: Sequence[str], place: Path) -> int:
    """Run the services in this process's network; print the times and return the exit status."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    run(["ip", "link", "set", "lo", "up"])
    trial = Trial(Storage(Path(options["--place"])), place, float(options["--budget"]))
    problem = ""
    try:
        trial.run()
    except Failed as error:
        problem = str(error)
        print(f"FAILED: {problem}", file=sys.stderr)
    print()
    for what, seconds in trial.seconds.items():
        print(f"{what:<36}{seconds:>9.1f} s")
    return int(bool(problem))


if __name__ == "__main__":
    # SIGTERM leaves through every `finally`, so that no container stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if _NEW_NETWORK in os.environ:
        sys.exit(try_out(sys.argv[1:], Path(os.environ[_NEW_NETWORK])))
    sys.exit(main(sys.argv[1:]))
