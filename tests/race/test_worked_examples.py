"""Two looks at three arms with three seeds, computed by hand. They pin every formula of the rule.

Both tables differ in one cell only. Arm 1 leads in both:

    seed        1      2      3
    arm 1   2.000  2.010  1.990
    arm 2   2.130  2.150  2.110   (2.510 on seed 3 in the second table)
    arm 3   2.060  2.110  2.060

Medians of the seeds over the arms: 2.060, 2.110, 2.060 in both. What is left:

    arm 1   -.060  -.100  -.070    median -.070, so  .010  -.030   0
    arm 2    .070   .040   .050    median  .050, so  .020  -.010   0
    arm 3    0      0      0       median  0,    so  0      0      0

Advantages are medians of differences. Arm 2 less arm 1: .130 .140 .120, median .130. Arm 3 less
arm 1: .060 .100 .070, median .070. Arm 2 less arm 3: .070 .040 .050, median .050. Their sums:

    arm 1   .130 + .070 =  .200    the leader
    arm 2  -.130 - .050 = -.180
    arm 3  -.070 + .050 = -.020
"""

from __future__ import annotations

import pytest

from campaigns.race.look import Outcome, decide
from campaigns.race.rows import Floor
from tests.race.sights import sight

FIRST = {1: [2.000, 2.010, 1.990], 2: [2.130, 2.150, 2.110], 3: [2.060, 2.110, 2.060]}
SECOND = FIRST | {2: [2.130, 2.150, 2.510]}


def test_with_a_floor_the_leader_is_champion() -> None:
    """The floor: σ₀ = .03 from 12 pairs, a = 0.4 · 12 = 4.8, so not below 4: the factor stays.
    s: the nine |residuals| are 0 0 0 0 0 .01 .01 .02 .03, their median is 0, so s = 0.
    ν = 0.6 · (3 - 1)(3 - 1) = 2.4
    σ² = (4.8 · .0009 + 2.4 · 0) / 7.2 = .0006, σ = .024495
    t: 7.2 degrees of freedom exceed 2.4342 with probability .0221.
    scale: √2·σ = √.0012 = .034641; the s.d. of .06 .10 .07 is .020817, that of .13 .14 .12 is .01:
    both are smaller.
    bound = 2.4342 · 1.25 · .034641 / √3 = 2.4342 · .025 = .06086
    .070 > .06086 and .130 > .06086: champion.
    """
    decision = decide(sight(FIRST, floor=Floor(0.03, 12)))

    assert decision.outcome is Outcome.CHAMPION
    assert decision.leader == 1
    assert decision.noise.spread is not None
    assert (decision.noise.spread.sd, decision.noise.spread.weight) == pytest.approx((0.0, 2.4))
    assert decision.noise.sigma == pytest.approx(0.0244949, rel=1e-5)
    assert decision.noise.df == pytest.approx(7.2)
    nearest, other = decision.rivals
    assert (nearest.arm, nearest.n, nearest.estimate) == (3, 3, pytest.approx(0.070))
    assert nearest.scale == pytest.approx(0.0346410, rel=1e-5)
    assert nearest.bound == pytest.approx(0.060855, rel=1e-4)
    assert (other.arm, other.n, other.estimate) == (2, 3, pytest.approx(0.130))
    assert other.scale == pytest.approx(0.0346410, rel=1e-5)
    assert (decision.group, decision.behind) == ((1,), (3, 2))


def test_without_a_floor_the_noise_comes_from_the_largest_residuals() -> None:
    """Arm 2 keeps .070 .040 .450 of its seeds, median .070, so 0 -.030 .380. The others are as
    above.
    No floor, a = 0, and 3 arms: fewer than 6. So the n + k - 1 = 5 smallest of the nine |residuals|
    0 0 0 0 0 .01 .03 .03 .38 are left out; the median of .01 .03 .03 .38 is .03.
    s = 1.4826 · .03 = .044478, no factor. ν = 2.4, σ = s, 2.4 degrees of freedom.
    t: they exceed 3.9028 with probability .0221.
    √2·σ = .062901, so differences are clipped to their median ± 3 · .062901 = .188704.
    Arm 2: .130 .140 .520, median .140, clipped to .130 .140 .328704. Mean .199568, deviations
    -.069568 -.059568 .129136, squares .0048397 .0035483 .0166761, sum .0250641, half of it
    .0125321, root .111947 > .062901: the scale.
    bound = 3.9028 · 1.25 · .111947 / 1.732051 = .31531 > .140
    Arm 3: .060 .100 .070, s.d. .020817 < .062901.
    bound = 3.9028 · 1.25 · .062901 / 1.732051 = .17717 > .070
    Nobody is behind: all three go on.
    """
    decision = decide(sight(SECOND, floor=Floor()))

    assert decision.outcome is Outcome.GO_ON
    assert decision.leader == 1
    assert decision.noise.spread is not None
    assert decision.noise.spread.sd == pytest.approx(0.044478, rel=1e-5)
    assert decision.noise.sigma == pytest.approx(0.044478, rel=1e-5)
    assert decision.noise.df == pytest.approx(2.4)
    nearest, other = decision.rivals
    assert (nearest.arm, nearest.estimate) == (3, pytest.approx(0.070))
    assert nearest.scale == pytest.approx(0.062901, rel=1e-4)
    assert nearest.bound == pytest.approx(0.17717, rel=1e-4)
    assert (other.arm, other.estimate) == (2, pytest.approx(0.140))
    assert other.scale == pytest.approx(0.111947, rel=1e-4)
    assert other.bound == pytest.approx(0.31531, rel=1e-4)
    assert (decision.arms, decision.group) == ((1, 3, 2), (1, 3, 2))
