"""Why a script failed is read from the line that names its error, and from no other."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from workers.agent.output.causes import Trouble, error_line, last_words, trouble_of
from workers.protocol import MAX_STDERR_TAIL_BYTES

TRACEBACK = (
    'Traceback (most recent call last):\n  File "script.py", line 3, in <module>\n    go()\n'
)
CUDA_HINTS = (
    "CUDA kernel errors might be asynchronously reported at some other API call, so the "
    "stacktrace below might be incorrect.\n"
    "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
WARNING = (
    "/usr/lib/python3.11/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: "
    "There appear to be 6 leaked semaphore objects to clean up at shutdown\n"
    "  warnings.warn('resource_tracker: There appear to be %d '\n"
)
HANDLED = f"{TRACEBACK}MemoryError\n"


def stderr_of(folder: Path, source: str) -> tuple[str, int]:
    """Run a script; return what it printed on stderr, and its exit code."""
    script = folder / "script.py"
    script.write_text(f"import sys, threading, traceback, warnings\n{source}\n")
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    return run.stderr, run.returncode


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        ("RuntimeError: CUDA error: out of memory", Trouble.OUT_OF_MEMORY),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", Trouble.OUT_OF_MEMORY),
        ("torch.cuda.OutOfMemoryError: HIP out of memory.", Trouble.OUT_OF_MEMORY),
        ("RuntimeError: MPS backend out of memory", Trouble.OUT_OF_MEMORY),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when", Trouble.OUT_OF_MEMORY),
        ("MemoryError", Trouble.OUT_OF_MEMORY),
        ("MemoryError: std::bad_alloc", Trouble.OUT_OF_MEMORY),
        ("std::bad_alloc", Trouble.OUT_OF_MEMORY),
        ("ArrayMemoryError: Unable to allocate 12.3 GiB for an array", Trouble.OUT_OF_MEMORY),
        ("OSError: [Errno 12] Cannot allocate memory", Trouble.OUT_OF_MEMORY),
        (
            (
                "RuntimeError: [enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: "
                "can't allocate memory: you tried to allocate 400 bytes."
            ),
            Trouble.OUT_OF_MEMORY,
        ),
        (
            "RuntimeError: DataLoader worker (pid 17) is killed by signal: Killed. ",
            Trouble.OUT_OF_MEMORY,
        ),
        (
            (
                "RuntimeError: DataLoader worker (pid 17) is killed by signal: Bus error. It is "
                "possible that dataloader's workers are out of shared memory."
            ),
            Trouble.OUT_OF_MEMORY,
        ),
        (
            "RuntimeError: DataLoader worker (pid(s) 17, 18) exited unexpectedly",
            Trouble.OUT_OF_MEMORY,
        ),
        (
            (
                "ERROR: Unexpected bus error encountered in worker. This might be caused by "
                "insufficient shared memory (shm)."
            ),
            Trouble.OUT_OF_MEMORY,
        ),
        ("OSError: [Errno 28] No space left on device: '/dev/shm/x'", Trouble.OUT_OF_MEMORY),
        (
            "RuntimeError: unable to write to file </torch_17_3>: No space left on device (28)",
            Trouble.OUT_OF_MEMORY,
        ),
        ("OSError: [Errno 28] No space left on device", Trouble.DISK_FULL),
        ("OSError: [Errno 122] Disk quota exceeded", Trouble.DISK_FULL),
        ("ModuleNotFoundError: No module named 'torch'", Trouble.NO_TORCH),
        ("RuntimeError: CUDA error: uncorrectable ECC error encountered", Trouble.DEVICE_BROKEN),
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            Trouble.DEVICE_BROKEN,
        ),
        (
            "RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable",
            Trouble.DEVICE_BROKEN,
        ),
        (
            "RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable",
            Trouble.DEVICE_BROKEN,
        ),
        ("RuntimeError: Unable to determine the device handle for GPU", Trouble.DEVICE_BROKEN),
        ("RuntimeError: NVML_ERROR_GPU_IS_LOST: GPU is lost", Trouble.DEVICE_BROKEN),
        (
            "RuntimeError: HIP error: hipErrorNoBinaryForGpu: Unable to find code object",
            Trouble.DEVICE_BROKEN,
        ),
        (
            "RuntimeError: CUDA driver version is insufficient for CUDA runtime version",
            Trouble.DEVICE_BROKEN,
        ),
        ("RuntimeError: No CUDA GPUs are available", Trouble.DEVICE_ABSENT),
        # Errors of a script and its config.
        ("RuntimeError: CUDA error: device-side assert triggered", None),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", None),
        ("RuntimeError: CUDA error: invalid device ordinal", None),
        (
            "OutOfResources: out of resource: shared memory, Required: 147456, Hardware limit: 1",
            None,
        ),
        ("ModuleNotFoundError: No module named 'torchvision'", None),
        ("ValueError: no heads", None),
        ("KeyError: 'memory'", None),
    ],
)
def test_an_error_belongs_to_its_kind_of_trouble(error: str, trouble: Trouble | None) -> None:
    assert trouble_of(error) is trouble


@pytest.mark.parametrize(
    ("stderr", "exit_code", "expected"),
    [
        (f"{TRACEBACK}ValueError: no heads\n", 1, "ValueError: no heads"),
        (
            f"{TRACEBACK}RuntimeError: CUDA error: out of memory\n{CUDA_HINTS}\n",
            1,
            "RuntimeError: CUDA error: out of memory",
        ),
        (f"{TRACEBACK}MemoryError\n{WARNING}", 1, "MemoryError"),
        (f"{TRACEBACK}MemoryError\nwandb: Find logs at: ./wandb/offline\n", 1, "MemoryError"),
        (f"{TRACEBACK}MemoryError\nx.py:1: UserWarning: not an error\n", 1, "MemoryError"),
        (f"{TRACEBACK}MemoryError\nINFO:root:shutting down\n", 1, "MemoryError"),
        (
            (
                f"{TRACEBACK}MemoryError\nException ignored in: <function Loader.__del__ at 0x7f>\n"
                f"{TRACEBACK}AttributeError: 'NoneType' object has no attribute 'close'\n"
            ),
            1,
            "MemoryError",
        ),
        (
            (
                f"{TRACEBACK}ValueError: first\n\nDuring handling of the above exception, another "
                f"exception occurred:\n\n{TRACEBACK}KeyError: 'second'\n"
            ),
            1,
            "KeyError: 'second'",
        ),
        (
            (
                f"{TRACEBACK}RuntimeError: Caught MemoryError in DataLoader worker process 0.\n"
                f"Original {TRACEBACK}MemoryError\n\n"
            ),
            1,
            "MemoryError",
        ),
        (
            (
                '[rank0]: Traceback (most recent call last):\n[rank0]:   File "s.py", line 1\n'
                "[rank0]:     g()\n[rank0]: ValueError: bad\n[rank0]:[W1 x.cpp:3] Warning: leak\n"
            ),
            1,
            "[rank0]: ValueError: bad",
        ),
        (
            (
                '  + Exception Group Traceback (most recent call last):\n  |   File "s", line 1\n'
                "  | ExceptionGroup: two (1 sub-exception)\n  +-+---------------- 1 ------------\n"
                '    | Traceback (most recent call last):\n    |   File "s.py", line 2, in g\n'
                "    | MemoryError\n    +------------------------------------\n"
            ),
            1,
            "MemoryError",
        ),
        # The beginning of a long traceback is cut off.
        (f"{'    f()'}\n{TRACEBACK.partition('last):')[2]}OSError: x\n", 1, "OSError: x"),
        # Handled before: the script went on, and failed for another reason.
        (f"{HANDLED}{TRACEBACK}ValueError: no heads\n", 1, "ValueError: no heads"),
        (f"{HANDLED}the learning rate is not a number\n", 1, "the learning rate is not a number"),
        (f'{HANDLED}{{"event": "progress", "step": 9}}\ngave up\n', 1, "gave up"),
        (f"{HANDLED}gave up\n", 5, "gave up"),
        ("CUDA out of memory, halving the batch\nbad config\n", 1, "bad config"),
        # C++ errors.
        (
            (
                "terminate called after throwing an instance of 'std::bad_alloc'\n"
                "  what():  std::bad_alloc\n"
            ),
            -6,
            "std::bad_alloc",
        ),
        (
            (
                "terminate called after throwing an instance of 'c10::Error'\n"
                "  what():  CUDA error: uncorrectable ECC error encountered\nmore\n"
            ),
            -6,
            "c10::Error: CUDA error: uncorrectable ECC error encountered",
        ),
        ("\x1b[31mtrain: too little\x1b[0m\r\n", 1, "train: too little"),
        ("step 1\rstep 2\rfailed: no heads", 1, "failed: no heads"),
        ("", 1, ""),
    ],
)
def test_the_error_is_the_last_line_of_the_last_traceback_that_ended_the_script(
    stderr: str, exit_code: int, expected: str
) -> None:
    assert error_line(stderr, exit_code) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("raise MemoryError('CUDA')", "MemoryError: CUDA"),
        ("try: raise MemoryError\nexcept MemoryError: raise ValueError('x')", "ValueError: x"),
        (
            "try: raise MemoryError\nexcept MemoryError: traceback.print_exc()\n{}['x']",
            "KeyError: 'x'",
        ),
        (
            (
                "def deep(n): return deep2(n) if n else 1 / 0\n"
                "def deep2(n): return deep(n - 1)\ndeep(150)"
            ),
            "ZeroDivisionError: division by zero",
        ),
        ("raise ExceptionGroup('two', [ValueError('a')])", "ExceptionGroup: two (1 sub-exception)"),
        ("eval('1 +')", "SyntaxError: invalid syntax"),
        ("sys.exit('no heads')", "no heads"),
    ],
)
def test_the_error_of_a_real_script_is_found(tmp_path: Path, source: str, expected: str) -> None:
    stderr, exit_code = stderr_of(tmp_path, source)
    assert error_line(stderr[-MAX_STDERR_TAIL_BYTES:], exit_code) == expected


def test_last_words_are_neither_progress_nor_a_warning() -> None:
    assert last_words(f'no heads\n{{"event": "progress"}}\n{WARNING}') == "no heads"
    assert last_words(WARNING).startswith("  warnings.warn".strip())
    assert last_words("") == ""


@pytest.mark.parametrize(
    "piece",
    [
        *("\x1b[", "\x1b]0;", "\x1bP", 'File "', '  File "a", line 1\n', "Warning ", "no "),
        *("Traceback (most recent call last):\n", "DataLoader worker ", "device ", "[W", " \t"),
        *("terminate called after throwing an instance of '", "shared memory ", "allocate ", "|"),
    ],
)
def test_no_stderr_keeps_the_agent_busy(piece: str) -> None:
    tail = (piece * MAX_STDERR_TAIL_BYTES)[:MAX_STDERR_TAIL_BYTES]
    started_at = time.process_time()
    trouble_of(error_line(tail, 1))
    last_words(tail)
    assert time.process_time() - started_at < 1.0
