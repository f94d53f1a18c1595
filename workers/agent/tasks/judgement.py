"""Turns an ended run, an `Execution`, into a submission. Pure.

A run is judged by what it said: a complete result line that keeps the contract counts, whatever
ended the process afterwards; the submission's message then says how it ended. Only a script that
ends by itself with an exit code above 0 takes its line back.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Mapping
from typing import Any, Final

from workers.agent.output.causes import Trouble, error_line, is_about_the_config, trouble_of
from workers.agent.output.metrics import ResultLine, read_result_line
from workers.agent.output.script_text import quoted
from workers.agent.running.execution import Ending, Execution, Limits
from workers.protocol import FailureClass, Outcome, Submission

# The script contract's exit codes (see experiments/train_char_lm.py).
EXIT_CONFIG_ERROR: Final = 2
EXIT_DATASET_UNREACHABLE: Final = 3
MAX_MESSAGE_CHARACTERS: Final = 500
_SIGKILLED: Final = -9
_SIGBUS: Final = -7
_GPU_DEVICES: Final = frozenset({"cuda", "mps", "xpu"})


def failure(
    failure_class: FailureClass, message: str, execution: Execution | None = None
) -> Submission:
    """Return the submission of a run without a result."""
    submission: Submission = {
        "outcome": Outcome.FAILED,
        "failure_class": failure_class,
        "message": message[:MAX_MESSAGE_CHARACTERS],
    }
    if execution is not None:
        submission["exit_code"] = execution.exit_code
        submission["stderr_tail"] = execution.stderr_tail
        submission["wall_time_seconds"] = round(execution.wall_time_seconds, 3)
    return submission


def judge(
    execution: Execution,
    limits: Limits,
    *,
    config: Mapping[str, Any] | None = None,
    devices: Collection[str] | None = None,
    data_in_place: bool = True,
) -> Submission:
    """Return the submission for a run that was not ended by a stop request.

    ``config`` is what the script was given, ``devices`` what torch can use here (None: unknown),
    and ``data_in_place`` says whether the data set that the agent placed was there until the end.
    """
    line = None
    if execution.result is not None:
        ended_by_sigterm = execution.ending is Ending.EXITED_AFTER_SIGTERM
        line = read_result_line(execution.result, ended_by_sigterm=ended_by_sigterm)
        if not line.problems and not _takes_its_line_back(execution):
            return _completed(line, execution, limits)
    if execution.survivors:
        return failure(FailureClass.ENV_ERROR, _survivors(execution), execution)
    if ended := _ended_by_the_agent(execution, limits):
        failure_class, message = ended
        return failure(failure_class, message, execution)
    if execution.exit_code != 0:
        return _nonzero_exit(
            execution, limits, config=config, devices=devices, data_in_place=data_in_place
        )
    if line is not None:
        return failure(FailureClass.INVALID_RESULT, "; ".join(line.problems), execution)
    if execution.ending is Ending.EXITED_AFTER_SIGTERM:
        return failure(FailureClass.TIMEOUT, _no_result_at_budget(limits), execution)
    message = "the script exited with 0 but printed no complete JSON object on stdout"
    return failure(FailureClass.NO_JSON, _with_what_was_seen(message, execution), execution)


def summary(submission: Submission, execution: Execution) -> str:
    """Return one line on how the run ended, for the log."""
    seconds = execution.wall_time_seconds
    metrics = submission.get("metrics")
    if metrics is None:
        return f"{submission.get('failure_class')} after {seconds:.2f} s: {submission['message']}"
    remark = f"; {submission['message']}" if submission.get("message") else ""
    if metrics["val_bpb"] is None:
        return f"no value after {seconds:.2f} s ({quoted(metrics['stop_reason'])}){remark}"
    return f"val_bpb {metrics['val_bpb']:.4f} after {seconds:.2f} s{remark}"


def _takes_its_line_back(execution: Execution) -> bool:
    """Return whether the script itself said, by its exit code, that its run failed."""
    if execution.ending is Ending.STOPPED:  # a person or the server ended the run
        return True
    code = execution.exit_code
    return execution.ending is Ending.EXITED and code is not None and code > 0


def _completed(line: ResultLine, execution: Execution, limits: Limits) -> Submission:
    submission: Submission = {
        "outcome": Outcome.COMPLETED,
        "metrics": line.metrics,
        "exit_code": execution.exit_code,
        "stderr_tail": execution.stderr_tail,
        "wall_time_seconds": round(execution.wall_time_seconds, 3),
    }
    if execution.foreign_load is not None:
        submission["foreign_load"] = execution.foreign_load
    remarks = [_how_it_ended(execution, limits), *line.remarks, execution.progress_problem]
    if message := "; ".join(remark for remark in remarks if remark):
        submission["message"] = message[:MAX_MESSAGE_CHARACTERS]
    return submission


def _how_it_ended(execution: Execution, limits: Limits) -> str:
    """Say what was unusual about the end of a run that counts; "" when nothing was."""
    if execution.survivors:
        return f"did not exit: {_survivors(execution)}"
    if ended := _ended_by_the_agent(execution, limits):
        failure_class, message = ended
        return f"did not exit: {message}" if failure_class is FailureClass.TIMEOUT else message
    code = execution.exit_code
    if execution.ending is Ending.EXITED_AFTER_SIGTERM and code != 0:
        when = "at its budget"
        if execution.all_steps_reported:
            when = "some time after it had reported all its steps"
        return f"did not exit: ended by SIGTERM {when}"
    if code is not None and code < 0:
        return f"crashed while exiting: {_signal_name(code)}"
    return ""


def _survivors(execution: Execution) -> str:
    pids = ", ".join(str(pid) for pid in execution.survivors)
    return f"processes of the script could not be killed (pid {pids})"


def _ended_by_the_agent(execution: Execution, limits: Limits) -> tuple[FailureClass, str] | None:
    """Return the failure class and the message of a run that was killed for breaking a limit."""
    match execution.ending:
        case Ending.OUTPUT_FLOOD:
            message = f"killed for printing more than {limits.output_bytes:,} bytes"
            return FailureClass.OUTPUT_FLOOD, message
        case Ending.MEMORY:
            used, allowed = execution.peak_memory_bytes, limits.memory_bytes
            message = f"killed for using {used:,} bytes of memory, with {allowed:,} allowed"
            return FailureClass.OOM, message
        case Ending.DISK:
            used, allowed = execution.disk_bytes, limits.disk_bytes
            message = (
                f"killed for its use of the disk: {used:,} bytes in the task folder, with "
                f"{allowed:,} allowed, or the disk running full"
            )
            return FailureClass.DISK_FULL, message
        case Ending.TIMEOUT:
            since = f"its budget of {limits.time_budget_seconds:g} s"
            if execution.all_steps_reported:
                since = "SIGTERM, which it got after it had reported all its steps"
            return FailureClass.TIMEOUT, f"killed {limits.kill_grace_seconds:g} s after {since}"
    return None


def _nonzero_exit(
    execution: Execution,
    limits: Limits,
    *,
    config: Mapping[str, Any] | None,
    devices: Collection[str] | None,
    data_in_place: bool,
) -> Submission:
    code = execution.exit_code
    if code == _SIGKILLED:
        message = "the script was killed from outside, most likely by the system for its memory"
        return failure(FailureClass.OOM, message, execution)
    error = error_line(execution.stderr_tail, code)
    words = quoted(error, MAX_MESSAGE_CHARACTERS) or "nothing on stderr"
    if trouble := _failure_of(trouble_of(error), devices):
        failure_class, reason = trouble
        return failure(failure_class, f"{reason}: {words}", execution)
    if code == _SIGBUS:
        message = f"killed by SIGBUS, most likely for want of shared memory: {words}"
        return failure(FailureClass.OOM, message, execution)
    if code == EXIT_DATASET_UNREACHABLE and not data_in_place:
        return failure(FailureClass.ENV_ERROR, f"no data set: {words}", execution)
    if execution.ending is Ending.EXITED_AFTER_SIGTERM:
        return failure(FailureClass.TIMEOUT, _no_result_at_budget(limits), execution)
    if code == EXIT_CONFIG_ERROR and is_about_the_config(error, frozenset(config or ())):
        message = f"the config was refused: {words}"
        submission = failure(FailureClass.SCRIPT_ERROR, message, execution)
        submission["final"] = True
        return submission
    if code is not None and code < 0:
        message = f"the script was ended by {_signal_name(code)}: {words}"
    elif code == EXIT_DATASET_UNREACHABLE:
        message = f"the script exited with 3 (no data), but its data set was in place: {words}"
    else:
        message = f"the script exited with {code}: {words}"
    return failure(FailureClass.SCRIPT_ERROR, message, execution)


def _failure_of(
    trouble: Trouble | None, devices: Collection[str] | None
) -> tuple[FailureClass, str] | None:
    """Return the failure class of a kind of trouble, and its words for the message."""
    if trouble is None:
        return None
    if trouble is Trouble.DEVICE_ABSENT:
        # A machine that never had the device is not at fault: the config asks for too much.
        if devices is not None and _GPU_DEVICES.isdisjoint(devices):
            return None
        return FailureClass.ENV_ERROR, "a device of this machine is lost"
    failure_class = {
        Trouble.OUT_OF_MEMORY: FailureClass.OOM,
        Trouble.DISK_FULL: FailureClass.DISK_FULL,
    }.get(trouble, FailureClass.ENV_ERROR)
    return failure_class, trouble.value


def _signal_name(code: int) -> str:
    """Return the name of the signal in a negative exit code, or Windows' number of the error."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}" if code > -128 else f"error 0x{code + 2**32:08X}"


def _with_what_was_seen(message: str, execution: Execution) -> str:
    seen = [execution.stdout_seen, execution.progress_problem]
    return "; ".join([message, *(part for part in seen if part)])


def _no_result_at_budget(limits: Limits) -> str:
    return (
        f"told to end at its budget of {limits.time_budget_seconds:g} s, "
        "the script ended without a result"
    )
