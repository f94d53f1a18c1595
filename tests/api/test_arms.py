"""GET campaigns/<id>/arms: the board of arms with the sentence that may be claimed."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests import factories

pytestmark = pytest.mark.django_db


def test_the_board_comes_with_metric_verdict_and_rows() -> None:
    race = factories.decided_race()
    reply = APIClient().get(f"/api/v1/campaigns/{race.campaign_id}/arms").json()
    assert (reply["metric"], reply["unit"], reply["direction"]) == (
        "val_bpb",
        "bits/byte",
        "minimize",
    )
    assert reply["verdict"].startswith("Arm 0 is ahead of the arm it raced")
    assert reply["count"] == 2
    first, second = reply["rows"]
    assert (first["rank"], first["standing"], first["arm"], first["value"]) == (
        1,
        "champion",
        0,
        3.0,
    )
    assert (first["seeds"], first["at_least"], first["half_width"] > 0) == (3, False, True)
    assert (second["rank"], second["standing"], second["value"]) == (2, "behind", 4.0)
    assert first["first_task"] == 0
    assert set(first["params"]) == {"lr", "d_model"}


def test_a_part_of_the_board_is_asked_for_and_unknown_words_are_refused() -> None:
    race = factories.decided_race()
    url = f"/api/v1/campaigns/{race.campaign_id}/arms"
    part = APIClient().get(url, {"limit": 1, "offset": 1}).json()
    assert [row["arm"] for row in part["rows"]] == [1]
    for query in ({"limit": 0}, {"limit": 1_001}, {"offset": -1}, {"top": 5}):
        assert APIClient().get(url, query).status_code == 400
    assert APIClient().get("/api/v1/campaigns/99/arms").status_code == 404
