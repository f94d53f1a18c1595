"""Reports of tests travel between the processes of xdist, whatever text a test has logged."""

import pytest


def test_a_lone_surrogate_in_a_report_is_escaped(request: pytest.FixtureRequest) -> None:
    hook = request.config.hook.pytest_report_to_serializable
    report = pytest.TestReport(
        nodeid="test_x.py::test_x",
        location=("test_x.py", 1, "test_x"),
        keywords={},
        outcome="failed",
        longrepr="half: \udfff",
        when="call",
        sections=[("Captured log", "half: \ud800, whole: 👩")],
    )

    data = hook(config=request.config, report=report)

    assert data["longrepr"] == r"half: \udfff"
    assert data["sections"] == [("Captured log", r"half: \ud800, whole: 👩")]
    assert data["outcome"] == "failed"
