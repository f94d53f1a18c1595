"""The catalog of experiments and data sets, and its agreement with the scripts."""

import dataclasses
import hashlib

import pytest

from experiments import catalog, english_like_corpus


def test_an_unknown_experiment_is_refused_by_a_sentence_that_names_the_known_ones() -> None:
    with pytest.raises(catalog.UnknownExperiment, match=r"'nothing'.*train_char_lm"):
        catalog.get("nothing")


def test_an_unknown_data_set_is_refused_by_a_sentence_that_names_the_known_ones() -> None:
    with pytest.raises(catalog.UnknownDataset, match=r"'nothing'.*english_like, tinyshakespeare"):
        catalog.get_dataset("nothing")


def test_every_experiment_has_a_script_whose_hash_is_that_of_its_bytes() -> None:
    for experiment in catalog.all():
        source = catalog.script_source(experiment.name)
        assert source == experiment.script_path.read_bytes()
        assert catalog.script_sha256(experiment.name) == hashlib.sha256(source).hexdigest()


def test_every_data_set_of_an_experiment_is_known() -> None:
    for experiment in catalog.all():
        for name in experiment.datasets:
            assert catalog.get_dataset(name) in catalog.all_datasets()


def test_an_experiment_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalog.get("train_char_lm").metric = "accuracy"  # type: ignore[misc]


def test_the_generated_corpus_is_described_as_it_is() -> None:
    info = catalog.get_dataset("english_like")
    assert (info.sha256, info.size_bytes) == (
        english_like_corpus.SHA256,
        english_like_corpus.SIZE_BYTES,
    )


@pytest.mark.parametrize(
    ("dataset_bytes", "full", "subset"),
    [(1_115_394, 111_539, 16_384), (1_000_000, 99_999, 16_384), (10_000, 999, 999), (0, 0, 0)],
)
def test_an_evaluation_may_count_the_whole_split_or_the_subset(
    dataset_bytes: int, full: int, subset: int
) -> None:
    allowed = catalog.get("train_char_lm").eval_bytes_allowed(dataset_bytes)
    assert allowed == {"full": full, "subset": subset}
