"""campaigns.search.samplers: random and grid draws are reproducible from seed and number."""

from __future__ import annotations

import pytest

from campaigns.search.samplers import (
    MAX_GRID_POINTS,
    SAMPLERS,
    UnknownSampler,
    get_sampler,
    random_sampler,
    sample,
)
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from experiments import catalog
from experiments.config_generators import CharLMConfigGenerator

COUNTABLE = SearchSpace.parse(
    {
        "parameters": [
            {"name": "width", "type": "choice", "values": [6, 8]},
            {"name": "heads", "type": "int", "low": 1, "high": 3},
            {"name": "dropout", "type": "float", "low": 0.1, "high": 0.3, "decimals": 1},
        ],
        "constraints": ["width % heads == 0"],
    }
)
CHAR_LM = SearchSpace.parse(catalog.get("train_char_lm").default_search_space)


def test_the_char_lm_space_gives_exactly_the_configs_of_the_generator() -> None:
    generator = CharLMConfigGenerator()
    for seed in range(501):
        drawn, generated = random_sampler(CHAR_LM, seed), generator.generate(seed)
        assert drawn == generated
        # The order of the keys is the order of the draws.
        assert list(drawn) == list(generated)


def test_draw_k_of_a_campaign_is_the_published_config_of_base_seed_plus_k() -> None:
    for draw in range(10):
        params = sample(CHAR_LM, "random", 42, draw)
        assert params == CharLMConfigGenerator().generate(42 + draw)


def test_seeds_give_different_points() -> None:
    points = [tuple(random_sampler(CHAR_LM, seed).items()) for seed in range(100)]
    assert len(set(points)) == 100


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_draws_points_of_the_space_and_the_same_ones_again(name: str) -> None:
    for draw in range(20):
        params = sample(COUNTABLE, name, 7, draw)
        assert COUNTABLE.problems(params) == []
        assert sample(COUNTABLE, name, 7, draw) == params


def test_the_grid_has_every_allowed_point_once_in_order_and_then_starts_again() -> None:
    points = [tuple(sample(COUNTABLE, "grid", 42, k).values()) for k in range(15)]
    assert points == [
        (width, heads, dropout)
        for width, heads in [(6, 1), (6, 2), (6, 3), (8, 1), (8, 2)]
        for dropout in (0.1, 0.2, 0.3)
    ]
    assert tuple(sample(COUNTABLE, "grid", 42, 15).values()) == points[0]


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ({"type": "float", "low": 0.1, "high": 1}, "cannot count the values of x"),
        ({"type": "float", "low": 0.1, "high": 1, "log": True, "decimals": 3}, "linear scale"),
        ({"type": "int", "low": 1, "high": MAX_GRID_POINTS + 1}, "more than 20,000 points"),
    ],
)
def test_the_grid_says_which_space_has_too_many_points(
    parameter: dict[str, object], sentence: str
) -> None:
    space = SearchSpace.parse({"parameters": [{"name": "x", **parameter}]})
    with pytest.raises(UnsatisfiableSpace, match=sentence):
        sample(space, "grid", 0, 0)


def test_an_unknown_sampler_is_refused_with_the_known_names() -> None:
    with pytest.raises(UnknownSampler, match=r"no sampler named 'best'. Known: grid, random\."):
        get_sampler("best")
