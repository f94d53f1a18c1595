"""The agent's readers are bounded whatever a script prints; the last whole JSON line wins."""

from __future__ import annotations

import json
import os
import time

import pytest

from workers.agent.output.json_lines import ObjectFinder
from workers.agent.output.progress import ProgressBuffer
from workers.agent.output.readers import (
    MAX_RESULT_LINE_BYTES,
    LineSplitter,
    PipeReader,
    ResultCollector,
    StderrCollector,
    parse_json_object,
)
from workers.protocol import MAX_PROGRESS_POINTS_PER_HEARTBEAT, MAX_STDERR_TAIL_BYTES


def collected(*chunks: bytes) -> dict[str, object] | None:
    collector = ResultCollector()
    for chunk in chunks:
        collector.feed(chunk)
    return collector.result()


def progress_line(**changes: object) -> bytes:
    line = {"event": "progress", "elapsed_seconds": 1.5, "step": 10, "tokens": 99} | changes
    return json.dumps(line).encode() + b"\n"


def points_of(*lines: bytes) -> list[object]:
    progress = ProgressBuffer()
    collector = StderrCollector(progress)
    for line in lines:
        collector.feed(line)
    return list(progress.pending())


def test_a_line_cut_into_chunks_is_put_together() -> None:
    assert collected(b'{"val', b'_bpb": ', b"1.5}", b"\n") == {"val_bpb": 1.5}


def test_the_last_of_two_whole_lines_wins() -> None:
    assert collected(b'{"a": 1}\n{"a": 2}\n') == {"a": 2}


def test_text_after_the_result_does_not_hide_it() -> None:
    assert collected(b'{"a": 1}\ndone\n{broken}\n\n') == {"a": 1}


def test_half_a_line_is_no_result() -> None:
    assert collected(b'{"val_bpb": 1.') is None


def test_half_a_line_after_a_whole_one_leaves_the_whole_one() -> None:
    assert collected(b'{"a": 1}\n{"a": 2') == {"a": 1}


def test_a_whole_object_without_a_newline_counts() -> None:
    assert collected(b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    "line",
    [
        b"[1, 2]",
        b"42",
        b'"text"',
        b"{" * 100_000 + b"}",
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"\xff{}",
    ],
    ids=["list", "number", "text", "deep", "5,000 digits", "binary"],
)
def test_what_is_not_a_json_object_is_no_result(line: bytes) -> None:
    assert collected(line + b"\n") is None


def test_a_deeply_nested_object_is_no_result() -> None:
    assert parse_json_object(b'{"a":' * 100_000 + b"1" + b"}" * 100_000) is None


def test_an_endless_line_is_dropped_and_the_next_line_is_read() -> None:
    endless = b"x" * (MAX_RESULT_LINE_BYTES + 1)
    assert collected(endless, endless, b"\n", b'{"a": 1}\n') == {"a": 1}


def test_a_splitter_never_holds_more_than_its_limit() -> None:
    splitter = LineSplitter(limit_bytes=10)
    for _ in range(100):
        assert splitter.feed(b"123456789") == []
        assert len(splitter.rest()) <= 10
    assert splitter.feed(b"\nshort\n") == [b"short"]


def test_the_stderr_tail_is_the_end_and_at_most_16_kib() -> None:
    collector = StderrCollector(ProgressBuffer())
    collector.feed(b"begin" + b"x" * 100_000)
    collector.feed(b"the end")
    assert collector.tail().endswith("the end")
    assert len(collector.tail().encode()) == MAX_STDERR_TAIL_BYTES


def test_the_stderr_tail_of_binary_output_is_text_a_database_accepts() -> None:
    collector = StderrCollector(ProgressBuffer())
    collector.feed(b"\xff\x00" * MAX_STDERR_TAIL_BYTES)
    tail = collector.tail()
    assert "\0" not in tail
    assert len(tail.encode()) <= MAX_STDERR_TAIL_BYTES


def test_progress_lines_become_numbered_points() -> None:
    first, second = points_of(progress_line(), b"free text\n", progress_line(step=20, val_bpb=2.5))
    assert first == {
        "seq": 0,
        "elapsed_seconds": 1.5,
        "step": 10,
        "tokens": 99,
        "train_loss": None,
        "val_bpb": None,
    }
    assert second["seq"] == 1  # type: ignore[index]
    assert second["val_bpb"] == 2.5  # type: ignore[index]


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "other"},
        {"elapsed_seconds": -1},
        {"elapsed_seconds": "1.5"},
        {"elapsed_seconds": float("nan")},
        {"step": 1.5},
        {"step": True},
        {"step": -1},
        {"step": 2**63},
        {"step": None},
    ],
)
def test_a_progress_line_that_breaks_the_contract_is_passed_over(
    changes: dict[str, object],
) -> None:
    assert points_of(progress_line(**changes)) == []


@pytest.mark.parametrize("value", [float("inf"), "2.5", True, 10**400])
def test_a_progress_value_that_is_no_number_becomes_null(value: object) -> None:
    (point,) = points_of(progress_line(val_bpb=value))
    assert point["val_bpb"] is None  # type: ignore[index]


def test_a_flood_of_progress_keeps_the_newest_points_under_their_numbers() -> None:
    count = MAX_PROGRESS_POINTS_PER_HEARTBEAT + 50
    points = points_of(*(progress_line(step=step) for step in range(count)))
    assert len(points) == MAX_PROGRESS_POINTS_PER_HEARTBEAT
    assert points[-1]["seq"] == count - 1  # type: ignore[index]


def test_delivered_points_are_forgotten_and_later_ones_stay() -> None:
    progress = ProgressBuffer()
    progress.add_line({"event": "progress", "elapsed_seconds": 1, "step": 1})
    sent = progress.pending()
    progress.add_line({"event": "progress", "elapsed_seconds": 2, "step": 2})
    progress.delivered(sent)
    assert [point["step"] for point in progress.pending()] == [2]


# --- Bars, colours, indentation -------------------------------------------------------------------

INDENTED = json.dumps({"val_bpb": 2.5, "curve": [{"a": 1}], "text": 'a "{" in it'}, indent=2)


@pytest.mark.parametrize(
    "output",
    [
        b'\rstep 1/5\rstep 5/5\r{"val_bpb": 2.5}\n',
        b'{"val_bpb": 2.5}\r\n',
        b'100%|##########| 5/5 [00:01]{"val_bpb": 2.5}\n',
        b'\x1b[2K\x1b[1;32m{"val_bpb": \x1b[1m2.5\x1b[0m}\x1b[0m\n',
        b'\x1b]0;title\x07{"val_bpb": 2.5}\n',
        b'\x1b[31mhalf an escape \x1b]0;{"val_bpb": 2.5}\n',
        b'use {x} {"val_bpb": 2.5} done {y}\n',
        b'{"val_bpb": 1.{"val_bpb": 2.5}\n',
        b'bar \xe2\x96\x88\xff {"val_bpb": 2.5}\n',
        b'{\n"val_bpb": 2.5\n}\n',
        b'{"val_bpb": 1.\n{\n  "val_bpb": 2.5\n}\n',
        b'see {here\nresult: {\n  "val_bpb": 2.5\n}\nbye\n',
        b'{\r\n  "val_bpb": 2.5\r\n}',
        b'\x1b[1m{\x1b[0m\n  \x1b[34m"val_bpb"\x1b[0m: \x1b[36m2.5\x1b[0m\n\x1b[1m}\x1b[0m\n',
    ],
)
def test_bars_colours_and_indentation_hide_no_result(output: bytes) -> None:
    assert collected(output) == {"val_bpb": 2.5}
    assert collected(*(bytes([byte]) for byte in output)) == {"val_bpb": 2.5}


def test_an_indented_object_is_put_together_with_its_inner_ones() -> None:
    assert collected(f"result: {INDENTED}\nbye\n".encode()) == json.loads(INDENTED)


def test_an_object_with_the_metric_is_preferred_to_a_later_one_without() -> None:
    assert collected(b'{"val_bpb": 1}\n{"status": "uploaded"}\n') == {"val_bpb": 1}
    assert collected(b'{"val_bpb": 1}\n', *[b'{"n": 1}\n'] * 50) == {"val_bpb": 1}


def test_an_indented_object_that_never_ends_costs_no_more_than_its_limit() -> None:
    finder = ObjectFinder(b'"a"', lambda _: True, limit_bytes=1_000)
    finder.feed(b"{")
    for _ in range(90):
        finder.feed(b'  "a": 1,')
    assert finder.unfinished() != ""
    for _ in range(90):
        finder.feed(b'  "a": 1,')
    assert finder.unfinished() == ""
    assert finder.feed(b'{"a": 2}') == [{"a": 2}]


@pytest.mark.parametrize("redraw", [b"\rstep 1/5 ###", b"step 1/5 ###\r"])
def test_a_bar_that_is_drawn_without_end_hides_no_result(redraw: bytes) -> None:
    bar = redraw * (3 * MAX_RESULT_LINE_BYTES // len(redraw))
    pieces = [bar[start : start + 65_536] for start in range(0, len(bar), 65_536)]
    assert collected(*pieces, b'\r{"val_bpb": 2}\n') == {"val_bpb": 2}
    assert len(points_of(*pieces, b"\r" + progress_line())) == 1


@pytest.mark.parametrize(
    "piece",
    [
        *(b"{", b'{"', b'{"val_bpb"', b'"', b'"\\"', b"\\", b"\x1b[", b"\x1b]", b"[", b"}{"),
        *(b'{"val_bpb":[', b'{"val_bpb":1}', b'"val_bpb"{\n', b'{"progress"\r', b"{\n", b"\r"),
    ],
)
def test_no_output_keeps_the_agent_busy(piece: bytes) -> None:
    output = piece * (512 * 1024 // len(piece))
    started_at = time.monotonic()
    collected(*(output[start : start + 65_536] for start in range(0, len(output), 65_536)))
    points_of(output)
    assert time.monotonic() - started_at < 20.0


def test_an_error_in_the_collector_does_not_end_the_reading() -> None:
    read_end, write_end = os.pipe()

    def break_down(_: bytes) -> None:
        raise RecursionError

    reader = PipeReader(os.fdopen(read_end, "rb", 0), break_down, limit_bytes=2**20)
    reader.start()
    for _ in range(3):
        os.write(write_end, b"x" * 50_000)  # a pipe that nobody reads takes 64 KiB
    os.close(write_end)
    reader.join(5)
    assert not reader.is_alive()


@pytest.mark.parametrize(
    "output",
    [
        b"\rbar 1\rbar 2" + progress_line(),
        b"\x1b[33m" + progress_line().strip() + b"\x1b[0m\n",
        b"INFO: " + progress_line(),
        json.dumps({"event": "progress", "elapsed_seconds": 1, "step": 2}, indent=1).encode(),
        b'{"event": "progress", "elapsed_seconds": 1, "step": 10.0}\n',
        progress_line().strip(),
    ],
    ids=["bar", "colour", "log line", "indented", "float step", "no newline"],
)
def test_bars_colours_and_indentation_hide_no_point_of_the_learning_curve(output: bytes) -> None:
    progress = ProgressBuffer()
    collector = StderrCollector(progress)
    collector.feed(output)
    collector.finish()
    assert len(progress.pending()) == 1
    assert progress.problem() == ""


def test_progress_that_cannot_be_used_is_counted_and_explained() -> None:
    progress = ProgressBuffer()
    collector = StderrCollector(progress)
    for _ in range(3):
        collector.feed(progress_line(step="10"))
    assert progress.pending() == []
    assert progress.problem() == (
        "no learning curve: 3 progress line(s) could not be used, step must be a whole number"
    )
    collector.feed(progress_line())
    assert progress.problem() == ""
