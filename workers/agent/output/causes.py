"""Why a script failed, read from the end of its stderr. Pure.

Only the line that names the error is judged: a word elsewhere may belong to a warning, or to an
error that the script handled. Every pattern is linear on such a line, which is short.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from workers.agent.output.script_text import plain_lines

_MAX_LINE_CHARACTERS: Final = 2_000  # of a line that is judged
_UNCAUGHT_EXIT_CODE: Final = 1  # of Python after an exception that nobody caught


class Trouble(Enum):
    """Kinds of errors that are told apart from other errors of a script."""

    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "the disk is full"
    NO_TORCH = "torch is missing"
    DEVICE_BROKEN = "trouble of this machine"
    DEVICE_ABSENT = "the device is not here"  # the machine's trouble only where it had one


# The first that matches counts. Shared memory comes before the disk: both lack "space on device".
_TROUBLES: Final = (
    (
        Trouble.OUT_OF_MEMORY,
        re.compile(
            r"\bMemoryError\b|ArrayMemoryError|OutOfMemory(?:Error|Exception)|out of memory"
            r"|bad_alloc|allocate (?:\w+ )?memory|(?:unable|failed) to allocate \d"
            r"|not enough memory|ErrorOutOfMemory|ERROR_OUT_OF_MEMORY|_ALLOC_FAILED"
            r"|ErrorMemoryAllocation|\[Errno 12\]"
            r"|DataLoader worker .{0,80}(?:signal: (?:Killed|Bus error)|exited unexpectedly)",
            re.IGNORECASE,
        ),
    ),
    (
        Trouble.OUT_OF_MEMORY,
        re.compile(
            r"(?:insufficient|out of|not enough|raise your|no) shared memory"
            r"|(?:/dev/shm|shared memory|\(shm\)|</?torch_).{0,300}(?:No space left|bus error)"
            r"|(?:No space left|bus error).{0,300}(?:/dev/shm|shared memory|\(shm\))"
            r"|unable to (?:write to|mmap|resize) .{0,80}(?:</?torch_|\(shm\)|/dev/shm)",
            re.IGNORECASE,
        ),
    ),
    (
        Trouble.DISK_FULL,
        re.compile(
            r"No space left on device|\[Errno 28\]|Disk quota exceeded|\[Errno 27\]"
            r"|\[Errno 122\]|File too large",
            re.IGNORECASE,
        ),
    ),
    (Trouble.NO_TORCH, re.compile(r"No module named ['\"]?torch['\"]?(?![\w.])")),
    (
        Trouble.DEVICE_BROKEN,
        re.compile(
            r"\bECC error|ErrorECC|uncorrectable (?:ECC|NVLink)|no kernel image|NoKernelImage"
            r"|NoBinaryForGpu|device.{0,60} busy or unavailable|DevicesUnavailable"
            r"|driver version is insufficient|unsupported display driver|SystemDriverMismatch"
            r"|Driver/library version mismatch|system not yet initialized|fell off the bus"
            r"|fallen off the bus|(?:GPU|device)(?: is| was| has been)? (?:lost|removed|hung)\b"
            r"|DEVICE_LOST|DEVICE_REMOVED|DeviceLost|determine the device handle|hardware error"
            r"|forward compatibility was attempted|(?:CUDA|HIP) (?:error: )?unknown error"
            r"|cudaGetDeviceCount\(\)|PTX was compiled with an unsupported toolchain",
            re.IGNORECASE,
        ),
    ),
    (
        Trouble.DEVICE_ABSENT,
        re.compile(
            r"no (?:CUDA|HIP|XPU) GPUs are available|no (?:CUDA|ROCm)-capable device"
            r"|no NVIDIA driver|libcuda\.so",
            re.IGNORECASE,
        ),
    ),
)
# A GPU kernel that wants more of the chip's own "shared memory" than there is: a matter of config.
_ON_CHIP: Final = re.compile(r"OutOfResources|Hardware limit|per block", re.IGNORECASE)

_FRAME: Final = re.compile(r'(?P<before>.*?)  File "[^"]*+", line \d++(?:, in .*)?$')
_MARGIN: Final = " |"  # of the traceback of an exception group
_HEADER: Final = "Traceback (most recent call last):"
# Python prints these errors and goes on; they do not end a run.
_NOT_FATAL: Final = re.compile(
    r"Exception ignored in|Error in atexit|Error in sys\.|Exception in thread|Logging error"
)
_TERMINATE: Final = re.compile(r"terminate called after throwing an instance of '([^']*+)'")
_WHAT: Final = re.compile(r"\s*+what\(\):\s*+(.*)")
# What stands below an error without being one: warnings, logs, and the remarks of CUDA and torch.
_NOISE: Final = re.compile(
    r"[^\w]*+$|\s|\{|.{0,200}(?:Warning:|\bwarnings?\b)"
    r"|\[[WID]\d*[\s\]]|\[rank\d+\]:\[[WIE]|[\w.:,\- \[]{0,60}\b(?:INFO|DEBUG|WARNING)\b"
    r"|wandb:|CUDA kernel errors|For debugging consider|Compile with `|Search for `"
    r"|C\+\+ CapturedTraceback|frame #\d|#\d+ |Exception raised from|Exception ignored"
    r"|.{0,80}\d+%\|"
    r"|.{0,200}leaked (?:semaphore|shared_memory)|Aborted\b|Killed\b|Extension modules:",
    re.IGNORECASE,
)
_READS_LIKE_AN_ERROR: Final = re.compile(
    r"error|fail|fatal|abort|giv(?:e|ing) up|cannot|can't|could not|invalid|illegal|unknown"
    r"|must|missing|\bno\b|\bnot\b|refus|exit|stop|\bbad\b|wrong|\btoo\b|traceback|exception",
    re.IGNORECASE,
)

# Config errors. CPython itself exits with 2, too: for a wrong option and for a missing script.
_NOT_ABOUT_THE_CONFIG: Final = re.compile(
    r"usage:|Unknown option: -|argument expected|unrecognized arguments|arguments are required"
    r"|No such file|\[Errno|(?:can'?t|cannot|could not|unable to) (?:open|read|find|load)"
    r"|FileNotFound|does not exist|permission denied|not a directory|is a directory"
    r"|\bfile \S+ (?:is |was )?(?:missing|not found)|No module named"
    r"|(?:device|cuda|gpu|mps|xpu|hip|rocm)\b.{0,80}(?:unavailable|missing|absent|no longer"
    r"|not (?:available|found|here|detected|present|compiled|installed|supported|usable))"
    r"|no (?:such |usable |available )?(?:device|cuda|gpu|mps|xpu|hip|rocm)\b",
    re.IGNORECASE,
)
_ABOUT_THE_CONFIG: Final = re.compile(r"config|hyper-?param|\bparam", re.IGNORECASE)


@dataclass(frozen=True)
class _Error:
    """An error of a traceback: the lines at which it begins and at which it is named."""

    start: int
    line: int
    is_fatal: bool


def error_line(stderr_tail: str, exit_code: int | None) -> str:
    """Return the line that names the error that ended the script; "" when stderr names none.

    It is the last line of the last traceback, unless the script went on after that traceback: then
    it handled that error, and its own last words count.
    """
    lines = plain_lines(stderr_tail)
    errors = _tracebacks(lines)
    ignored = {
        number
        for error in errors
        if not error.is_fatal
        for number in range(error.start, error.line + 1)
    }
    fatal = [error for error in errors if error.is_fatal] or errors
    after = fatal[-1].line + 1 if fatal else 0
    words = [
        line for number, line in enumerate(lines[after:], after) if number not in ignored and line
    ]
    aborted = _terminate_line(words)
    spoken = [line for line in words if not _NOISE.match(line)]
    error = lines[fatal[-1].line][:_MAX_LINE_CHARACTERS].strip(_MARGIN) if fatal else ""
    may_be_uncaught = exit_code is None or exit_code < 0 or exit_code == _UNCAUGHT_EXIT_CODE
    if error and may_be_uncaught and not _was_handled(error, words, spoken):
        return error
    if aborted or spoken:
        return aborted or spoken[-1][:_MAX_LINE_CHARACTERS].strip()
    # It handled the error and had nothing else to say before it ended.
    return "" if _went_on(words) else error


def last_words(stderr_tail: str) -> str:
    """Return the last line of stderr that is neither progress nor a warning, for people."""
    lines = [line for line in plain_lines(stderr_tail) if line and not line.startswith("{")]
    spoken = [line for line in lines if not _NOISE.match(line)] or lines
    return spoken[-1].strip() if spoken else ""


def trouble_of(error: str) -> Trouble | None:
    """Return which kind of trouble the line that names an error tells of, if any."""
    if _ON_CHIP.search(error):
        return None
    for trouble, pattern in _TROUBLES:
        if pattern.search(error):
            return trouble
    return None


def is_about_the_config(error: str, names: frozenset[str] = frozenset()) -> bool:
    """Return whether a script's line on stderr refuses its config, whose keys are ``names``.

    A missing file or device is no such refusal: another machine may have it.
    """
    if not error or _NOT_ABOUT_THE_CONFIG.search(error):
        return False
    words = set(re.findall(r"[\w.-]+", error)) | set(re.findall(r"\w+", error))
    return _ABOUT_THE_CONFIG.search(error) is not None or not names.isdisjoint(words)


def _went_on(words: list[str]) -> bool:
    """Return whether there are progress lines among the last words."""
    return any(line.startswith("{") and '"progress"' in line for line in words)


def _was_handled(error: str, words: list[str], spoken: list[str]) -> bool:
    """Return whether the script went on after an error: with progress, or with another complaint.

    An ordinary error may have a message of several lines, so only an error of a special kind needs
    to be the last that was said.
    """
    if _went_on(words):
        return True
    if trouble_of(error) is None or not spoken:
        return False
    return _READS_LIKE_AN_ERROR.search(spoken[-1]) is not None


def _tracebacks(lines: list[str]) -> list[_Error]:
    """Return the errors of the tracebacks, in their order, also of one whose beginning is cut."""
    errors = []
    number, said_before, header = 0, "", -1
    while number < len(lines):
        line = lines[number][:_MAX_LINE_CHARACTERS]
        if line.endswith(_HEADER):
            header = number
        elif (frame := _FRAME.match(line)) and "most recent call first" not in said_before:
            start = number if header == -1 else header
            number = _end_of_frames(lines, number, frame["before"])
            if number < len(lines):
                fatal = not _NOT_FATAL.search(said_before)
                errors.append(_Error(start, number, fatal))
            header, said_before = -1, ""
        elif line.strip() and header == -1:
            said_before = line
        number += 1
    return errors


def _end_of_frames(lines: list[str], number: int, before: str) -> int:
    """Return the number of the first line after the frames; they are indented behind ``before``."""
    for place in range(number + 1, len(lines)):
        line = lines[place]
        if not line.startswith(before):
            return place
        rest = line[len(before) :]
        if rest and not rest[0].isspace():
            return place
    return len(lines)


def _terminate_line(lines: list[str]) -> str:
    """Return what a C++ exception that nobody caught said, or its type; "" without one."""
    for number in range(len(lines) - 1, -1, -1):
        if match := _TERMINATE.search(lines[number][:_MAX_LINE_CHARACTERS]):
            following = lines[number + 1][:_MAX_LINE_CHARACTERS] if number + 1 < len(lines) else ""
            what = _WHAT.match(following)
            return f"{match[1]}: {what[1]}" if what and what[1] != match[1] else match[1]
    return ""
