"""Guards of what a script says: how it is read, what it means, and who pays for it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

LINES: Final = "workers/agent/output/json_lines.py"
READERS: Final = "workers/agent/output/readers.py"
METRICS: Final = "workers/agent/output/metrics.py"
JUDGEMENT: Final = "workers/agent/tasks/judgement.py"
CAUSES: Final = "workers/agent/output/causes.py"
MEMORY: Final = "workers/agent/processes/memory.py"
VERDICT: Final = "workers/agent/tasks/verdict.py"
SUBMISSIONS: Final = "campaigns/lifecycle/submissions.py"
COMPLETIONS: Final = "campaigns/lifecycle/completions.py"
READER_TESTS: Final = "tests/agent/output/test_readers.py"
JUDGEMENT_TESTS: Final = "tests/agent/tasks/test_judgement.py"
ENDING_TESTS: Final = "tests/agent/tasks/test_endings.py"
RUNNER_TESTS: Final = "tests/agent/tasks/test_runner.py"

_OUTPUT: Final = (
    Mutant(
        "readers: an endless line is kept",
        LINES,
        "        if not self._dropping and len(self._partial) + len(piece) <= self._limit_bytes:",
        "        if not self._dropping:",
        (READER_TESTS,),
    ),
    Mutant(
        "readers: reader without a bound",
        READERS,
        "if total > self._limit_bytes:",
        "if False:",
        ("tests/agent/running/test_execution.py", "-k", "endless or short_lines"),
    ),
    Mutant(
        "readers: stderr tail without a bound",
        READERS,
        "            del self._tail[:-MAX_STDERR_TAIL_BYTES]\n",
        "",
        ("tests/agent/running/test_execution.py", "-k", "without_a_newline or endless"),
    ),
    Mutant(
        "readers: the first JSON line wins",
        READERS,
        "for line in reversed(self._candidates):",
        "for line in self._candidates:",
        (READER_TESTS, "-k", "last_of_two_whole_lines"),
    ),
    Mutant(
        "readers: an object without the metric wins",
        READERS,
        "            if self._with_metric is not None:",
        "            if False:",
        (READER_TESTS, "-k", "metric_is_preferred"),
    ),
    Mutant(
        "readers: an unsound line after a sound one wins",
        READERS,
        "            if self._sound is not None:",
        "            if False:",
        (JUDGEMENT_TESTS, "-k", "sound_result_line"),
    ),
    Mutant(
        "readers: a line ends at a line feed only",
        LINES,
        'chunk.replace(b"\\r", b"\\n").split(b"\\n")',
        'chunk.split(b"\\n")',
        (READER_TESTS, "-k", "without_end_hides_no_result"),
    ),
    Mutant(
        "readers: colour codes stay in a line",
        LINES,
        '        if b"\\x1b" in line:',
        "        if False:",
        (READER_TESTS, "-k", "bars_colours"),
    ),
    Mutant(
        "readers: a brace before an object hides it",
        LINES,
        "_MAX_STARTS: Final = 8",
        "_MAX_STARTS: Final = 1",
        (READER_TESTS, "-k", "bars_colours"),
    ),
    Mutant(
        "readers: an indented object is none",
        LINES,
        '        if self._open or b"{" in line:',
        "        if False:",
        (READER_TESTS, "-k", "bars_colours or indented"),
    ),
    Mutant(
        "readers: an indented object grows without a bound",
        LINES,
        "        if self._open_bytes > self._limit_bytes:",
        "        if False:",
        (READER_TESTS, "-k", "never_ends"),
    ),
    Mutant(
        "readers: an error ends the reading",
        READERS,
        "        except Exception:  # a reader",
        "        except ZeroDivisionError:  # a reader",
        (READER_TESTS, "-k", "does_not_end_the_reading"),
    ),
    Mutant(
        "readers: a learning curve is missing without a word",
        "workers/agent/output/progress.py",
        "                self._unusable_lines += 1\n",
        "",
        (READER_TESTS, "-k", "counted_and_explained"),
    ),
    Mutant(
        "readers: any line reports all the steps",
        READERS,
        'is not None and line.metrics["steps_completed"] >= self._max_steps:',
        "is not None:",
        (ENDING_TESTS, "-k", "max_steps"),
    ),
    Mutant(
        "readers: a script that hangs after all its steps waits for its budget",
        "workers/agent/running/execution.py",
        "        if stdout.all_steps_at is not None:",
        "        if False:",
        (ENDING_TESTS, "-k", "under_max_steps"),
    ),
)

_MEANING: Final = (
    Mutant(
        "judgement: JSON counts after exit 1",
        JUDGEMENT,
        "    return execution.ending is Ending.EXITED and code is not None and code > 0",
        "    return False",
        (JUDGEMENT_TESTS, ENDING_TESTS, "-k", "class or takes_its_line_back"),
    ),
    Mutant(
        "judgement: a line before the kill does not count",
        JUDGEMENT,
        "        if not line.problems and not _takes_its_line_back(execution):",
        "        if not line.problems and execution.exit_code == 0:",
        (ENDING_TESTS, "-k", "however_the_process_ended"),
    ),
    Mutant(
        "judgement: a line of a stopped run counts",
        JUDGEMENT,
        "    if execution.ending is Ending.STOPPED:",
        "    if False:",
        (ENDING_TESTS, "-k", "somebody_stopped"),
    ),
    Mutant(
        "judgement: the unusual end of a run that counts goes unsaid",
        JUDGEMENT,
        "    remarks = [_how_it_ended(execution, limits), *",
        "    remarks = [*",
        (ENDING_TESTS, "-k", "however_the_process_ended"),
    ),
    Mutant(
        "judgement: NaN is sent",
        METRICS,
        "        return None\n    if isinstance(value, dict):",
        "        return value\n    if isinstance(value, dict):",
        (JUDGEMENT_TESTS, "-k", "nan"),
    ),
    Mutant(
        "judgement: a counter written as 10.0 is none",
        METRICS,
        "    metrics = with_whole_numbers(without_non_finite(parsed))",
        "    metrics = without_non_finite(parsed)",
        (JUDGEMENT_TESTS, "-k", "written_as_a_float"),
    ),
    Mutant(
        "judgement: brackets in brackets raise an error",
        METRICS,
        "    if (depth := _depth(parsed)) > MAX_DEPTH:",
        "    if (depth := _depth(parsed)) > 10**6:",
        (JUDGEMENT_TESTS, "-k", "brackets"),
    ),
    Mutant(
        "judgement: the value of an untrained model counts after SIGTERM",
        METRICS,
        "    if ended_by_sigterm and untrained:",
        "    if False:",
        (ENDING_TESTS, "-k", "because_sigterm_came"),
    ),
    Mutant(
        "judgement: a script that prints too much for it is the worker's trouble",
        VERDICT,
        '    except Exception as error:\n        log.exception("%s: what',
        '    except ZeroDivisionError as error:\n        log.exception("%s: what',
        (RUNNER_TESTS, "-k", "judgement_that_breaks"),
    ),
    Mutant(
        "judgement: a script without data is believed",
        JUDGEMENT,
        "    if code == EXIT_DATASET_UNREACHABLE and not data_in_place:",
        "    if code == EXIT_DATASET_UNREACHABLE:",
        (RUNNER_TESTS, "-k", "no_data_pays"),
    ),
    Mutant(
        "judgement: an uploaded script is believed that its data vanished",
        VERDICT,
        "EXIT_DATASET_UNREACHABLE and not is_uploaded(attempt.lease):",
        "EXIT_DATASET_UNREACHABLE:",
        (RUNNER_TESTS, "-k", "vanished"),
    ),
    Mutant(
        "judgement: a broken device is the script's fault",
        JUDGEMENT,
        "    }.get(trouble, FailureClass.ENV_ERROR)",
        "    }.get(trouble, FailureClass.SCRIPT_ERROR)",
        (RUNNER_TESTS, "-k", "broken_gpu"),
    ),
    Mutant(
        "judgement: a device that was never here is this machine's trouble",
        JUDGEMENT,
        "        if devices is not None and _GPU_DEVICES.isdisjoint(devices):",
        "        if False:",
        (ENDING_TESTS, "-k", "absent_gpu"),
    ),
    Mutant(
        "causes: an error that was handled before counts",
        CAUSES,
        "    if error and may_be_uncaught and not _was_handled(error, words, spoken):",
        "    if error:",
        ("tests/agent/output/test_causes.py", "-k", "last_line_of_the_last_traceback"),
    ),
    Mutant(
        "causes: an error that Python ignores counts",
        CAUSES,
        "                fatal = not _NOT_FATAL.search(said_before)",
        "                fatal = True",
        ("tests/agent/output/test_causes.py", "-k", "last_line_of_the_last_traceback"),
    ),
    Mutant(
        "causes: the warning below the error is quoted",
        CAUSES,
        "    spoken = [line for line in words if not _NOISE.match(line)]",
        "    spoken = list(words)",
        ("tests/agent/output/test_causes.py", "-k", "last_line_of_the_last_traceback"),
    ),
    Mutant(
        "final: any exit with code 2 is",
        JUDGEMENT,
        "    if code == EXIT_CONFIG_ERROR and is_about_the_config(error, frozenset(config or ())):",
        "    if code == EXIT_CONFIG_ERROR:",
        (ENDING_TESTS, "-k", "no_other_exit_is_final"),
    ),
    Mutant(
        "final: the server is not told",
        JUDGEMENT,
        '        submission["final"] = True\n',
        "",
        (ENDING_TESTS, "-k", "refuses_is_final"),
    ),
    Mutant(
        "final: such a failure is tried again",
        SUBMISSIONS,
        "        last_try = held if is_final else held.filter(",
        "        last_try = held.filter(",
        ("tests/lifecycle/results/test_final_failures.py",),
    ),
    Mutant(
        "final: any failure is that an agent calls so",
        SUBMISSIONS,
        '    refused = body.get("exit_code") == EXIT_CONFIG_ERROR and body',
        "    refused = body",
        ("tests/lifecycle/results/test_final_failures.py",),
    ),
    Mutant(
        "result: the value of an untrained model is ranked",
        COMPLETIONS,
        'return without_untrained_value(body.get("metrics") or {}, spec)',
        'return body.get("metrics") or {}',
        ("tests/lifecycle/results/test_submit.py", "-k", "because_sigterm_came"),
    ),
    Mutant(
        "result: the unusual end of a run that counts is forgotten",
        COMPLETIONS,
        'filter(None, [body.get("message", ""), _on_hindrance(result)])',
        "filter(None, [_on_hindrance(result)])",
        ("tests/lifecycle/results/test_submit.py", "-k", "unusual"),
    ),
)

_MEMORY: Final = (
    Mutant(
        "memory: what loaders share counts for each",
        MEMORY,
        "    return total if total <= limit_bytes else _bytes_without_repeats(resident)",
        "    return total",
        ("tests/agent/processes/test_memory.py", "-k", "loaders_share"),
    ),
    Mutant(
        "memory: a process that hides its pages uses none",
        MEMORY,
        "            total += rss\n",
        "",
        ("tests/agent/processes/test_memory.py", "-k", "counts_in_full"),
    ),
    Mutant(
        "memory: a kernel that reports nothing is believed",
        MEMORY,
        "        if proportional > 0:",
        "        if proportional >= 0:",
        ("tests/agent/processes/test_memory.py", "-k", "not_believed"),
    ),
)

READINGS: Final = (*_OUTPUT, *_MEANING, *_MEMORY)
