"""dev.py audit: a known flaw fails, and "no answer" is never reported as "no flaw"."""

from __future__ import annotations

from typing import Any

import pytest

from devtools.audit import Audit, conclude, read_report

# A report in the format of pip-audit 2.10.
REPORT: dict[str, Any] = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {
            "name": "bad",
            "version": "2.0",
            "vulns": [
                {
                    "id": "PYSEC-2026-1",
                    "fix_versions": ["2.1", "3.0"],
                    "aliases": ["CVE-2026-1"],
                    "description": "…",
                },
                {"id": "PYSEC-2026-2", "fix_versions": [], "aliases": []},
            ],
        },
        {"name": "own", "skip_reason": "Dependency not found on PyPI"},
    ],
    "fixes": [],
}


def test_a_report_is_read_with_what_was_skipped() -> None:
    assert read_report("pypi", REPORT) == Audit(
        "pypi",
        audited=2,
        skipped=1,
        findings=(
            "bad 2.0: PYSEC-2026-1 (CVE-2026-1), fixed in 2.1, 3.0",
            "bad 2.0: PYSEC-2026-2 (no other name), fixed in no version yet",
        ),
    )


@pytest.mark.parametrize(
    ("audit", "required", "words", "status"),
    [
        (None, False, "NOT AUDITED", 0),
        (None, True, "NOT AUDITED", 1),
        (Audit("pypi", 0, 131, ()), False, "NOT AUDITED", 0),
        (Audit("pypi", 3, 0, ()), True, "3 packages looked up at pypi; no known flaw", 0),
        (Audit("pypi", 2, 1, ()), False, "1 NOT AUDITED (unknown there); no known flaw", 0),
        (Audit("pypi", 2, 1, ()), True, "1 NOT AUDITED", 1),
        (Audit("osv", 2, 0, ("bad 2.0: X",)), False, "1 known flaws:\n  bad 2.0: X", 1),
    ],
)
def test_the_last_words_say_what_is_known_and_a_flaw_fails(
    audit: Audit | None, required: bool, words: str, status: int
) -> None:
    message, code = conclude(audit, required=required)
    assert words in message
    assert code == status
