"""`workers.features`: an agent says to an older server only what that server knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.versions import recorded
from workers import features, protocol
from workers.agent import AGENT_VERSION
from workers.features import (
    ALL_FEATURES,
    LATER_FAILURE_CLASSES,
    LATER_STOP_REASONS,
    NO_FEATURES,
    Feature,
    claim_for,
    heartbeat_for,
    known_features,
    submission_for,
)
from workers.protocol import ClaimRequest, FailureClass, HeartbeatRequest, Submission

CLAIM: ClaimRequest = {
    "claim_id": "a",
    "boot_id": "b",
    "count": 1,
    "simulate": False,
    "hardware": {"cpu_count": 2, "machine": "m"},
    "slots": 1,
    "calibrates": True,
    "scripts": ["a" * 64],
    "runs_server_code": False,
}


def test_unknown_features_are_ignored() -> None:
    assert known_features(["slots", "time_travel"]) == {Feature.SLOTS}


def test_a_claim_to_an_old_server_has_only_its_keys() -> None:
    spoken = claim_for(CLAIM, NO_FEATURES)
    assert spoken.keys() <= {*recorded.KEYS["ClaimRequest"]}
    assert spoken["hardware"] == {"cpu_count": 2}
    assert claim_for(CLAIM, ALL_FEATURES) == CLAIM
    assert claim_for(CLAIM, frozenset({Feature.SLOTS})) == spoken | {"slots": 1}


def test_a_heartbeat_tells_a_pause_of_the_owner_only_to_a_server_that_knows_it() -> None:
    plain: HeartbeatRequest = {"boot_id": "b", "leases": []}
    paused: HeartbeatRequest = {**plain, "owner_pause": {"seconds": 60.0}}
    assert heartbeat_for(paused, NO_FEATURES) == plain
    assert heartbeat_for(paused, frozenset({Feature.OWNER_PAUSE})) == paused


def test_a_submission_keeps_everything_that_an_old_server_can_take() -> None:
    submission: Submission = {
        "outcome": protocol.Outcome.COMPLETED,
        "metrics": {"val_bpb": None, "stop_reason": "no_time_to_evaluate", "seed": 1},
        "foreign_load": 0.5,
        "final": False,
        "message": "did not exit",
    }
    assert submission_for(submission, NO_FEATURES) == {
        "outcome": "completed",
        "metrics": {"val_bpb": None, "stop_reason": "budget_too_small", "seed": 1},
        "message": "did not exit",
    }
    assert submission_for(submission, ALL_FEATURES) == submission
    assert submission["metrics"] == {
        "val_bpb": None,
        "stop_reason": "no_time_to_evaluate",
        "seed": 1,
    }


@pytest.mark.parametrize("later", [*FailureClass])
def test_each_later_failure_class_has_a_word_that_0_1_0_knows(later: FailureClass) -> None:
    known = recorded.WORDS["FailureClass"]
    spoken = submission_for(
        {"outcome": protocol.Outcome.FAILED, "failure_class": later}, NO_FEATURES
    )
    assert spoken["failure_class"] in known
    assert later in known or later in LATER_FAILURE_CLASSES
    assert submission_for(spoken, NO_FEATURES) == spoken


def test_each_key_that_came_after_0_1_0_has_a_feature() -> None:
    """A new key or word without a feature fails here: it would reach servers that lack it."""
    for name, later in (
        ("ClaimRequest", features.CLAIM_KEYS),
        ("Hardware", features.HARDWARE_KEYS),
        ("Submission", features.SUBMISSION_KEYS),
        # Goes with a fleet's token only, and a server that made one knows it.
        ("EnrolRequest", {"machine_key": None}),
        ("HeartbeatRequest", features.HEARTBEAT_KEYS),
        ("HeartbeatLease", {}),
        ("ProgressPoint", {}),
    ):
        keys = getattr(protocol, name).__annotations__.keys()
        assert keys - {*recorded.KEYS[name]} == later.keys(), name
    assert {feature for feature, _ in LATER_STOP_REASONS.values()} == {Feature.UNEVALUATED}
    # Old agents have to find what they read, so no key may go.
    for name in ("Lease", "ClaimReply", "HeartbeatReply", "LeaseAnswer", "SubmissionReply"):
        assert {*recorded.KEYS[name]} <= getattr(protocol, name).__annotations__.keys(), name


def test_every_version_that_is_promised_has_a_recording() -> None:
    """`docs/volunteers.md` promises the two minor versions before this one."""
    major, minor = map(int, AGENT_VERSION.split(".")[:2])
    assert major == 0, "say in docs/volunteers.md what is promised across major versions"
    promised = range(max(1, minor - 2), minor)
    recordings = {path.name for path in Path(__file__).parent.glob("v*.json")}
    assert {f"v0_{number}_0.json" for number in promised} <= recordings
    policy = " ".join((ROOT / "docs" / "volunteers.md").read_text().split())
    assert "with all of the two minor versions before it" in policy
