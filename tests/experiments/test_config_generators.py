"""The seeded generator: its configs are pinned, and the catalog's search space draws the same."""

import random

import pytest

from campaigns.search.space import SearchSpace
from experiments import catalog
from experiments.config_generators import CharLMConfigGenerator

PINNED = {
    0: (0.004885, 128, 2, "linear", 6, 512, 64, 256),
    42: (0.0019, 64, 4, "cosine", 2, 256, 128, 128),
    48: (0.001248, 64, 4, "step_decay", 2, 512, 32, 128),
    2**40: (0.000161, 256, 2, "linear", 2, 512, 64, 128),
}
KEYS = (
    "lr",
    "d_model",
    "n_heads",
    "lr_schedule",
    "n_layers",
    "d_ff",
    "batch_size",
    "context_length",
)


@pytest.mark.parametrize(("seed", "values"), PINNED.items())
def test_a_seed_gives_the_same_config_for_ever(seed: int, values: tuple[object, ...]) -> None:
    config = CharLMConfigGenerator().generate(seed)
    assert config == dict(zip(KEYS, values, strict=True))
    assert tuple(config) == KEYS


def test_generating_neither_reads_nor_moves_the_global_random_state() -> None:
    before = random.getstate()
    CharLMConfigGenerator().generate(7)
    assert random.getstate() == before


def test_the_search_space_of_the_catalog_draws_exactly_the_generators_configs() -> None:
    space = SearchSpace.parse(catalog.get("train_char_lm").default_search_space)
    for seed in range(500):
        expected = CharLMConfigGenerator().generate(seed)
        assert space.draw(random.Random(seed)) == expected
        assert not space.problems(expected)


def test_heads_always_divide_the_model_and_lr_spreads_over_both_decades() -> None:
    configs = [CharLMConfigGenerator().generate(seed) for seed in range(500)]
    assert all(config["d_model"] % config["n_heads"] == 0 for config in configs)  # type: ignore[operator]
    rates = [config["lr"] for config in configs]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)  # type: ignore[operator]
    assert 200 < sum(rate < 1e-3 for rate in rates) < 300  # type: ignore[operator]
