"""Import torch, wait for one task on stdin, and become its script. Runs as a plain file.

    python -u warm_start.py WORD

This is what a spare runs, see `workers.agent.running.spare`. Once torch is there it prints a line
on stdout: WORD and a JSON object, with ``torch`` (the version) and ``file`` (where it lies), or
with ``problem``. Then it reads one line from stdin, the hand-over, a JSON object:

    {"script": PATH, "arguments": [WORDS], "environment": {NAME: TEXT}, "threads": NUMBER or null}

The script runs as ``__main__`` in this process, with its arguments and the folder of its file first
in ``sys.path``, as if Python had been started with it: the clock on its first line starts then.
stdin is empty from there on. What was printed before the hand-over is dropped. Without a hand-over,
at the end of stdin, the process ends.

At its end threads are waited for, exit handlers run and output is written, as always. What Python
takes apart afterwards, for up to a second with torch, the kernel does at once.

Importing torch makes no context on a GPU, and nothing here asks for a device.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

# The variable that every process of the run keeps: the agent finds them by it.
TAG_VARIABLE = "XEENET_RUN_TAG"
MOST_BYTES = 1024 * 1024  # of the hand-over
# What train_char_lm.py sets before it imports torch. libgomp reads it then, which is too late for
# the script here: whoever starts this file sets it.
SPIN_COUNT = "2000"


def main() -> None:
    """Wait with torch for the hand-over, then run the script. Does not return to the caller."""
    import importlib

    word = sys.argv[1].encode()
    kept = _set_output_aside()
    torch = None
    try:
        torch = importlib.import_module("torch")
        answer = {"torch": str(torch.__version__), "file": str(torch.__file__)}
    except Exception as error:  # noqa: BLE001 (a broken install raises more than ImportError)
        answer = {"problem": f"torch: {type(error).__name__}: {error}"[:500]}
    import json

    os.write(kept[0], word + b" " + json.dumps(answer).encode() + b"\n")
    line = _read_line() if torch is not None else b""
    if torch is None or not line:
        os._exit(0)
    order = json.loads(line)
    environment = order["environment"]
    if TAG_VARIABLE in os.environ:
        environment[TAG_VARIABLE] = os.environ[TAG_VARIABLE]
    os.environ.clear()
    os.environ.update(environment)
    if order["threads"] is not None:
        torch.set_num_threads(order["threads"])
    _give_output_back(kept)
    _become(order["script"], order["arguments"])


def _set_output_aside() -> tuple[int, int]:
    """Let stdout and stderr lead nowhere; return where they led before."""
    kept = os.dup(1), os.dup(2)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    return kept


def _give_output_back(kept: tuple[int, int]) -> None:
    """Let stdout and stderr lead where they did, and stdin nowhere."""
    for number, handle in zip((1, 2), kept, strict=True):
        os.dup2(handle, number)
        os.close(handle)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _read_line() -> bytes:
    """Return the line on stdin; b"" when there is no whole one.

    Read without a buffer: what Python had read ahead would still be on the script's own stdin.
    """
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 65_536)
        if not chunk or len(line) > MOST_BYTES:
            return b""
        line += chunk
    return line


def _become(script: str, arguments: list[str]) -> None:
    """Run the script as Python itself would, in the place of this file."""
    from importlib.machinery import SourceFileLoader
    from types import ModuleType

    module = ModuleType("__main__")
    module.__file__ = script
    module.__loader__ = SourceFileLoader("__main__", script)
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    sys.argv[:] = [script, *arguments]
    sys.path.insert(0, os.path.dirname(script))  # noqa: PTH120 (as Python does it)
    sys.excepthook = _without_this_file
    with open(script, "rb") as file:  # noqa: PTH123
        source = file.read()
    code = 0
    try:
        exec(compile(source, script, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except SystemExit as leaving:
        code = _exit_code(leaving.code)
    except Exception as error:  # noqa: BLE001 (as Python does; a Ctrl-C ends it as usual)
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    _leave(code)


def _exit_code(code: object) -> int:
    """Return the exit code that Python makes of what `sys.exit` was given."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 (as Python does)
    return 1


def _leave(code: int) -> None:
    """End the process as Python does, without taking every object apart."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 (closed by the script, or its reader is gone)
            code = code or 120  # as Python does
    os._exit(code)


def _without_this_file(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback as Python does, beginning with the script."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file: its other modules are not the script's
    main()
