"""``dev.py audit``: look up the pinned packages in public advisories, with pip-audit.

If no advisory service can be reached (a machine may have access to package registries only),
nothing is known. The command then says so, and fails only with ``--required``. pip-audit reports
success for packages that the service does not know ("skipped"), so we count those ourselves.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.environment import Environment, child_variables, say

# pip-audit's names of the advisory services; the first that answers is used.
SERVICES = ("pypi", "osv")
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Audit:
    """The answer of one service: how many packages it knew and did not know, and their flaws."""

    service: str
    audited: int
    skipped: int
    findings: tuple[str, ...]


def read_report(service: str, report: dict[str, Any]) -> Audit:
    """Return the content of a JSON report of pip-audit."""
    packages = report["dependencies"]
    audited = [package for package in packages if "skip_reason" not in package]
    findings = [
        f"{package['name']} {package['version']}: {flaw['id']}"
        f" ({', '.join(flaw.get('aliases') or ['no other name'])}),"
        f" fixed in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for package in audited
        for flaw in package.get("vulns", ())
    ]
    return Audit(service, len(audited), len(packages) - len(audited), tuple(findings))


def conclude(audit: Audit | None, *, required: bool) -> tuple[str, int]:
    """Return the final message and the exit status; `required` makes missing answers fail."""
    if audit is None or audit.audited == 0:
        message = (
            "NOT AUDITED: no advisory service can be reached from here, so nothing is known about "
            "the pinned packages. Run this again on a machine with internet."
        )
        return message, 1 if required else 0
    summary = f"{audit.audited} packages looked up at {audit.service}"
    if audit.skipped:
        summary += f", {audit.skipped} NOT AUDITED (unknown there)"
    if audit.findings:
        lines = "\n".join(f"  {finding}" for finding in audit.findings)
        return f"{summary}; {len(audit.findings)} known flaws:\n{lines}", 1
    return f"{summary}; no known flaw", 1 if required and audit.skipped else 0


def audit_locks(environment: Environment, *, required: bool) -> int:
    """Audit the largest lock, which contains the others; print the result, return the status."""
    audit = next(filter(None, (_query(environment, service) for service in SERVICES)), None)
    message, status = conclude(audit, required=required)
    say(message)
    return status


def _query(environment: Environment, service: str) -> Audit | None:
    """Return the service's audit, or None when it did not answer or knew no package."""
    lock = environment.lock_file("dev")
    with tempfile.TemporaryDirectory(prefix="xeenet-audit-") as folder:
        report = Path(folder) / "report.json"
        command: list[str | Path] = [environment.python, "-m", "pip_audit", "--no-deps"]
        command += [
            "--disable-pip",
            "--progress-spinner",
            "off",
            "--vulnerability-service",
            service,
        ]
        command += ["--requirement", lock, "--format", "json", "--output", report]
        try:
            subprocess.run(
                command,
                cwd=environment.root,
                env=child_variables(),
                capture_output=True,
                check=False,
                timeout=TIMEOUT_SECONDS,
            )
            audit = read_report(service, json.loads(report.read_text()))
        except (subprocess.TimeoutExpired, OSError, ValueError):
            # pip-audit writes no report unless it got an answer for every package.
            say(f"{service} did not answer")
            return None
    if audit.audited == 0:
        say(f"{service} knew none of {audit.skipped} packages")
        return None
    return audit
