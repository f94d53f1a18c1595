"""campaigns.samplers: the same campaign gives the same tasks, the char-LM ones the generator's."""

from __future__ import annotations

import pytest

from campaigns.samplers import SAMPLERS, UnknownSampler, get_sampler, random_sampler, sample_task
from campaigns.search_space import SearchSpace
from experiments import catalog
from experiments.config_generators import CharLMConfigGenerator

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
        seed, params = sample_task(CHAR_LM, name, 7, number)
        assert CHAR_LM.problems(params) == []
        assert sample_task(CHAR_LM, name, 7, number) == (seed, params)


def test_an_unknown_sampler_is_refused_with_the_known_names() -> None:
    with pytest.raises(UnknownSampler, match=r"no sampler named 'best'. Known: random\."):
        get_sampler("best")
