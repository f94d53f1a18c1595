"""``dev.py audit``: look the pinned packages up in the public advisories, with pip-audit.

Where no advisory service can be reached (a machine may see package registries only), nothing is
known: that is said plainly, and is no failure unless ``--required`` asks for an answer. pip-audit
itself calls a package that the service does not know "skipped" and reports success, so the skipped
are counted here.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.environment import Environment, child_variables, say

# pip-audit's names of the advisory services, asked in this order.
SERVICES = ("pypi", "osv")
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Audit:
    """What one service knew: how many packages it looked at, and what is wrong with which."""

    service: str
    audited: int
    skipped: int
    findings: tuple[str, ...]


def read_report(service: str, report: dict[str, Any]) -> Audit:
    """Return what a JSON report of pip-audit says."""
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
    """Return the last words and the exit status."""
    if audit is None or audit.audited == 0:
        words = (
            "NOT AUDITED: no advisory service can be reached from here, so nothing is known about "
            "the pinned packages. Run this again on a machine with internet."
        )
        return words, 1 if required else 0
    looked = f"{audit.audited} packages looked up at {audit.service}"
    if audit.skipped:
        looked += f", {audit.skipped} NOT AUDITED (unknown there)"
    if audit.findings:
        lines = "\n".join(f"  {finding}" for finding in audit.findings)
        return f"{looked}; {len(audit.findings)} known flaws:\n{lines}", 1
    return f"{looked}; no known flaw", 1 if required and audit.skipped else 0


def audit_locks(environment: Environment, *, required: bool) -> int:
    """Audit the widest lock, which holds the others; print what is known, return the status."""
    audit = next(filter(None, (_ask(environment, service) for service in SERVICES)), None)
    words, status = conclude(audit, required=required)
    say(words)
    return status


def _ask(environment: Environment, service: str) -> Audit | None:
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
            # It writes a report only when every package got an answer.
            say(f"{service} did not answer")
            return None
    if audit.audited == 0:
        say(f"{service} knew none of {audit.skipped} packages")
        return None
    return audit
