"""The findings of a run, as text, as JSON, and as the table in ``docs/reliability.md``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.herd import Wave
from tests.chaos.misbehaviour import Misbehaviour

BEGIN = "<!-- written by `make chaos ARGS=--write-docs` -->"
END = "<!-- end of what was written -->"


@dataclass(frozen=True)
class Recovery:
    """One kind of fault: how often it was injected, and the seconds until the service was back."""

    kind: str
    times: int
    median_seconds: float | None
    worst_seconds: float | None


@dataclass
class Report:
    """The figures of one run; `violations` is empty when everything held."""

    seed: int
    machine: str
    load: float  # average of the last 15 minutes, this run included
    seconds: float
    agents: int
    tasks: int
    attempts: int
    acknowledged: int
    expiries: int
    late: int
    requests: int
    lost: list[str]
    doubled: list[str]
    violations: list[str]
    recoveries: list[Recovery]
    handed_over_median_seconds: float | None
    handed_over_worst_seconds: float | None
    agent_megabytes: float
    agent_megabytes_grown: float
    waves: list[Wave] = field(default_factory=list)
    scripts: list[Misbehaviour] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Return everything that was lost, doubled or otherwise wrong."""
        of_scripts = [problem for script in self.scripts for problem in script.problems]
        return [*self.lost, *self.doubled, *self.violations, *of_scripts]

    @property
    def holds(self) -> bool:
        """Whether there was no problem."""
        return not self.problems

    def write_json(self, path: Path) -> None:
        """Write all figures and violations as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def lines(self) -> list[str]:
        """Return the report as text for a terminal."""
        lines = [f"{name:<40} {value}" for name, value in self._figures()]
        lines += ["", f"{'fault':<26} {'times':>5} {'median back':>12} {'worst back':>12}"]
        for fault in self.recoveries:
            median, worst = _seconds(fault.median_seconds), _seconds(fault.worst_seconds)
            lines.append(f"{fault.kind:<26} {fault.times:>5} {median:>12} {worst:>12}")
        if self.scripts:
            lines += ["", f"{'script':<36} {'tier':>4} {'over deadline':>14} {'agent grew':>11}"]
        for script in self.scripts:
            over, grown = _seconds(script.seconds_over), f"{script.grown_mib:.1f} MiB"
            lines.append(f"{script.script:<36} {script.tier:>4} {over:>14} {grown:>11}")
        lines += ["", *(f"VIOLATION: {problem}" for problem in self.problems)]
        lines.append("everything held" if self.holds else f"{len(self.problems)} violations")
        return lines

    def markdown(self) -> str:
        """Return the report as tables for the documentation."""
        rows = ["| figure | value |", "|---|---|"]
        rows += [f"| {name} | {value} |" for name, value in self._figures()]
        rows += ["", "| fault | times | service back, median | worst |", "|---|---:|---:|---:|"]
        for fault in self.recoveries:
            median, worst = _seconds(fault.median_seconds), _seconds(fault.worst_seconds)
            rows.append(f"| {fault.kind} | {fault.times} | {median} | {worst} |")
        if self.scripts:
            rows += ["", "| script | tier | gone after budget + 15 s + | agent's memory grew by |"]
            rows += ["|---|---|---:|---:|"]
        for script in self.scripts:
            over, grown = _seconds(script.seconds_over), f"{script.grown_mib:.1f} MiB"
            rows.append(f"| {script.script} | {script.tier} | {over} | {grown} |")
        return "\n".join(rows)

    def _figures(self) -> Sequence[tuple[str, str]]:
        figures = [
            ("seed", str(self.seed)),
            ("machine", self.machine),
            ("load average", f"{self.load:.0f}"),
            ("seconds of faults", f"{self.seconds:.0f}"),
            ("agents", str(self.agents)),
            ("tasks, all ended", f"{self.tasks:,}"),
            ("attempts", f"{self.attempts:,}"),
            ("leases that ran out", f"{self.expiries:,}"),
            ("results that came late", f"{self.late:,}"),
            ("faults injected", str(sum(fault.times for fault in self.recoveries))),
            ("requests", f"{self.requests:,}"),
            ("results acknowledged", f"{self.acknowledged:,}"),
            ("acknowledged results lost", str(len(self.lost))),
            ("results that count twice", str(len(self.doubled))),
            ("other violations", str(len(self.problems) - len(self.lost) - len(self.doubled))),
            ("dead agent's task waits again, median", _seconds(self.handed_over_median_seconds)),
            ("dead agent's task waits again, worst", _seconds(self.handed_over_worst_seconds)),
            ("memory of the worker program", f"{self.agent_megabytes:.0f} MB at most"),
            ("… grown while it worked", f"{self.agent_megabytes_grown:.1f} MB"),
        ]
        for wave in self.waves:
            note = "" if wave.kept_up else " (the servers lagged behind before: not judged)"
            back = f"{wave.agents:,} agents back after {wave.outage_seconds:.0f} s"
            figures += [
                (f"{back}: before", f"{wave.steady_per_second:.0f} requests/s"),
                (
                    f"{back}: busiest second",
                    f"{wave.peak_per_second:.0f}, {wave.ratio:.1f}×{note}",
                ),
            ]
        return figures


def recoveries(pairs: Sequence[tuple[str, float | None]]) -> list[Recovery]:
    """Summarise pairs of kind and seconds until the service was back; most frequent kinds first."""
    kinds: dict[str, list[float | None]] = {}
    for kind, seconds in pairs:
        kinds.setdefault(kind, []).append(seconds)
    summary = []
    for kind, all_seconds in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
        known = [seconds for seconds in all_seconds if seconds is not None]
        summary.append(Recovery(kind, len(all_seconds), *median_and_worst(known)))
    return summary


def median_and_worst(seconds: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the median and the largest value, or (None, None) if there are no values."""
    return (statistics.median(seconds), max(seconds)) if seconds else (None, None)


def write_between_marks(path: Path, text: str) -> None:
    """Write `text` between the two marks of a document. Raises ValueError if it lacks them."""
    document = path.read_text()
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END} around what is written.")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
