"""The table of figures as Markdown, and its place in `docs/performance.md`."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.marked_documents import write_between
from benchmarks.pages_client import Timing, percentile
from benchmarks.pages_report import Row, verdict

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN = "<!-- written by bench-pages: begin -->"
END = "<!-- written by bench-pages: end -->"


def markdown(rows: list[Row], beside: Mapping[int, Timing], *, machine: str) -> str:
    """Return the figures of every page; `machine` describes the machine and conditions."""
    lines = [
        machine,
        "",
        "| results | page | p50 ms | p95 ms | CPU p50 ms | queries | kB | bar |",
        "|---:|---|---:|---:|---:|---:|---:|---|",
    ]
    for number, row in enumerate(rows):
        lines.append(_line(row.size, row.page.name, row.timing, verdict(row)))
        is_last = number + 1 == len(rows) or rows[number + 1].size != row.size
        if is_last and row.size in beside:
            name = "`optuna-dashboard`, study detail"
            lines.append(_line(row.size, name, beside[row.size], "told for comparison"))
    return "\n".join(lines)


def _line(size: int, name: str, timing: Timing, judged: str) -> str:
    cpu = f"{percentile(timing.cpu_ms, 0.5):.1f}" if timing.cpu_ms else ""
    cells = [
        f"{size:,}",
        name,
        f"{percentile(timing.wall_ms, 0.5):.1f}",
        f"{percentile(timing.wall_ms, 0.95):.1f}",
        cpu,
        "" if timing.queries is None else str(timing.queries),
        f"{timing.size_kb:,.1f}",
        judged,
    ]
    return f"| {' | '.join(cells)} |"


def write(text: str, document: Path = DOCUMENT) -> None:
    """Write the text between the document's marks. Raises ValueError if it has no marks."""
    write_between(document, BEGIN, END, text)
