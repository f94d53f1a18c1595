"""campaigns.search.samplers: random and grid draws are reproducible from seed and number."""

from __future__ import annotations

import pytest

from campaigns.search.samplers import (
    MAX_GRID_POINTS,
    SAMPLERS,
    UnknownSampler,
    get_sampler,
    random_sampler,
    sample_task,
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


def test_task_k_of_a_campaign_has_seed_base_plus_k() -> None:
    for number in range(5):
        seed, params = sample_task(CHAR_LM, "random", 42, number)
        assert seed == 42 + number
        assert params == CharLMConfigGenerator().generate(42 + number)


def test_seeds_give_different_points() -> None:
    points = [tuple(random_sampler(CHAR_LM, seed).items()) for seed in range(100)]
    assert len(set(points)) == 100


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_draws_points_of_the_space_and_the_same_ones_again(name: str) -> None:
    for number in range(20):
        seed, params = sample_task(COUNTABLE, name, 7, number)
        assert COUNTABLE.problems(params) == []
        assert sample_task(COUNTABLE, name, 7, number) == (seed, params)


def test_the_grid_has_every_allowed_point_once_in_order_and_then_starts_again() -> None:
    points = [tuple(sample_task(COUNTABLE, "grid", 42, k)[1].values()) for k in range(15)]
    assert points == [
        (width, heads, dropout)
        for width, heads in [(6, 1), (6, 2), (6, 3), (8, 1), (8, 2)]
        for dropout in (0.1, 0.2, 0.3)
    ]
    seed, again = sample_task(COUNTABLE, "grid", 42, 15)
    assert (seed, tuple(again.values())) == (57, points[0])


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
        sample_task(space, "grid", 0, 0)


def test_an_unknown_sampler_is_refused_with_the_known_names() -> None:
    with pytest.raises(UnknownSampler, match=r"no sampler named 'best'. Known: grid, random\."):
        get_sampler("best")
