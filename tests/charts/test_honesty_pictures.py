"""campaigns.charts.honesty: labels of the pictures stay apart and inside."""

from __future__ import annotations

from campaigns.charts.honesty import pairs_picture
from campaigns.standings.honesty_parts import ClassNoise
from experiments.metrics import VAL_BPB


def noise(sd: float, *sizes: float) -> ClassNoise:
    return ClassNoise(1, "cpu", 9, sd, len(sizes), None, None, (), sizes)


def test_the_label_of_the_noise_stays_off_the_zero_and_the_edge() -> None:
    usual = pairs_picture(noise(0.02, 0.01, 0.02, 0.05), VAL_BPB)
    assert ">0</text>" in usual
    assert 'text-anchor="middle">s.d. 0.0200' in usual
    tiny = pairs_picture(noise(0.0001, 0.01, 0.02, 0.05), VAL_BPB)
    assert ">0</text>" not in tiny
    assert 'text-anchor="start">s.d. 0.0001' in tiny
