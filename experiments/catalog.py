"""The experiments and data sets that this installation knows. Pure standard library.

Server and agents both read this table: the server to offer experiments, to hash scripts and to
know how many bytes an honest evaluation may count; the agents to find a script on their own disk
and to put data sets where the script looks for them. The training scripts must run alone and import
nothing from here, so tests check that they follow the same rules.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from experiments.calibration import CalibrationPlan, CalibrationShape
from experiments.metrics import VAL_BPB, MetricSpec

EXPERIMENTS_FOLDER: Final = Path(__file__).resolve().parent

# train_char_lm.py evaluates on the last tenth of the data; see its section on evaluation.
TRAIN_SHARE: Final = 0.9
EVAL_SUBSET_BYTES: Final = 16_384
# The script refuses a data set that is shorter than two contexts, or whose last tenth is shorter.
CONTEXTS_PER_DATASET: Final = 2
MIN_VALIDATION_BYTES: Final = 2


class UnknownExperiment(LookupError):
    """No experiment of this name is in the catalog."""

    def __init__(self, name: str) -> None:
        known = ", ".join(sorted(_EXPERIMENTS))
        super().__init__(f"There is no experiment named {name!r}. Known experiments: {known}.")


class UnknownDataset(LookupError):
    """No data set of this name is in the catalog."""

    def __init__(self, name: str) -> None:
        known = ", ".join(sorted(_DATASETS))
        super().__init__(f"There is no data set named {name!r}. Known data sets: {known}.")


@dataclass(frozen=True)
class DatasetInfo:
    """One text file, identified by its hash.

    ``ngram_anchors`` maps "bigram", "trigram" and "5-gram" to the bits per byte of count models
    fitted on the training part and scored on the validation part: reference points for val_bpb.
    ``benchmarks/ngram_anchors.py`` computes them. Without ``urls`` the file cannot be downloaded.
    ``compressed_bpb`` is what lzma needs for the validation part once it has seen the training
    part: no model comes near half of it.
    """

    name: str
    title: str
    size_bytes: int
    sha256: str
    urls: tuple[str, ...]
    ngram_anchors: dict[str, float]
    compressed_bpb: float | None = None


@dataclass(frozen=True)
class SeedNoise:
    """How much runs of a script differ once their seed is known, until a server has measured it.

    ``sd`` has the unit of the metric; ``pairs`` are the replicate pairs that it rests on.
    """

    sd: float
    pairs: int
    recorded_on: str


@dataclass(frozen=True)
class Experiment:
    """One training script with its metric and its default search space (plain JSON data)."""

    name: str
    title: str
    description: str
    script_path: Path
    default_search_space: dict[str, Any]
    datasets: tuple[str, ...]
    # Params that the script reads beside those of its default space and what the server sets. It
    # refuses to run with any other.
    optional_params: tuple[str, ...] = ()
    # What its results are ranked by. A campaign pins it at its launch.
    metric_spec: MetricSpec = VAL_BPB
    # How workers measure their speed with its script; None: only steps, tokens or time are budgets.
    calibration: CalibrationPlan | None = None
    # What a plan assumes of the noise where no arm has run on several seeds yet.
    seed_noise: SeedNoise | None = None

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return self.metric_spec.name

    @property
    def direction(self) -> str:
        """Whether the metric is to "minimize" or to "maximize"."""
        return self.metric_spec.direction.value

    @property
    def known_params(self) -> tuple[str, ...]:
        """The params that a search space of this experiment may have."""
        own = [parameter["name"] for parameter in self.default_search_space["parameters"]]
        return (*own, *self.optional_params)

    def longest_context(self, dataset_bytes: int) -> int:
        """Return the largest ``context_length`` for a data set of this size; 0 when none fits."""
        has_split = dataset_bytes - int(TRAIN_SHARE * dataset_bytes) >= MIN_VALIDATION_BYTES
        return dataset_bytes // CONTEXTS_PER_DATASET if has_split else 0

    def eval_bytes_allowed(self, dataset_bytes: int) -> dict[str, int]:
        """Return the values that an honest ``eval_bytes`` can have for a data set of this size.

        "full" predicts every byte of the validation split except the first. "subset" is the fixed
        sample to which the script falls back when the budget has no room for the whole split.
        """
        full = max(0, dataset_bytes - int(TRAIN_SHARE * dataset_bytes) - 1)
        return {"full": full, "subset": min(EVAL_SUBSET_BYTES, full)}


def _shape(
    steps: int, d_model: int, n_layers: int, n_heads: int, d_ff: int, batch: int, context: int
) -> CalibrationShape:
    sizes = {"d_model": d_model, "n_layers": n_layers, "n_heads": n_heads, "d_ff": d_ff}
    sizes |= {"batch_size": batch, "context_length": context}
    return CalibrationShape({**sizes, "lr": 0.003, "lr_schedule": "linear"}, steps)


_CHAR_LM_CALIBRATION: Final = CalibrationPlan(
    shapes=(
        _shape(137, 64, 2, 2, 512, 32, 128),
        _shape(39, 256, 2, 2, 512, 32, 128),
        _shape(16, 64, 2, 4, 256, 128, 256),
        _shape(16, 128, 6, 2, 256, 32, 256),
        _shape(12, 256, 2, 2, 256, 64, 256),
        _shape(12, 64, 6, 2, 512, 128, 128),
        _shape(11, 64, 6, 4, 256, 64, 256),
        _shape(11, 256, 2, 2, 512, 128, 128),
    ),
    repeated=(0, 6, 7),
    # Fitted to 52 shapes with the means of benchmarks/step_cost.py, before the script had Muon: of
    # what Muon adds (1.03 to 1.23 times the time over six shapes) they foresee about half. The
    # shapes above are, of all with steps below 0.4 s, those whose fit predicts the default space
    # with the least variance.
    coefficients={
        "matrix_gflop": 0.00176,
        "attention_gflop": 0.00242,
        "attention_elements": 0.00151,
        "activations": 0.00113,
        "parameters": 0.0146,
    },
    recorded_on="2 cores of an AMD EPYC with Zen 4, 2 threads, bfloat16",
    known_shape=0,
    # With benchmarks/value_shift.py --known, 1 and 2 threads: these and at most 0.0009 less.
    known_values={"bfloat16": 1.3621, "float32": 1.3622},
)

_EXPERIMENTS: Final = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="train_char_lm",
            title="Character-level language model",
            description=(
                "A small decoder-only transformer learns to predict the next byte of a text "
                "within a fixed time budget. Lower validation bits per byte are better."
            ),
            script_path=EXPERIMENTS_FOLDER / "train_char_lm.py",
            # The same draws as in config_generators.CharLMConfigGenerator, in the same order.
            default_search_space={
                "parameters": [
                    {
                        "name": "lr",
                        "type": "float",
                        "low": 1e-4,
                        "high": 1e-2,
                        "log": True,
                        "decimals": 6,
                    },
                    {"name": "d_model", "type": "choice", "values": [64, 128, 256]},
                    {"name": "n_heads", "type": "choice", "values": [2, 4]},
                    {
                        "name": "lr_schedule",
                        "type": "choice",
                        "values": ["cosine", "linear", "step_decay"],
                    },
                    {"name": "n_layers", "type": "choice", "values": [2, 4, 6]},
                    {"name": "d_ff", "type": "choice", "values": [256, 512]},
                    {"name": "batch_size", "type": "choice", "values": [32, 64, 128]},
                    {"name": "context_length", "type": "choice", "values": [128, 256]},
                ],
                "constraints": ["d_model % n_heads == 0"],
            },
            datasets=("tinyshakespeare", "english_like"),
            optional_params=("max_steps", "threads", "device"),
            calibration=_CHAR_LM_CALIBRATION,
            # The s.d. between seeds was 0.011 to 0.020 for the five configs, and their correlation
            # over seeds 0.6: 0.020 · √(1 - 0.6).
            seed_noise=SeedNoise(0.0126, pairs=30, recorded_on="65 runs of five configs, 80 steps"),
        ),
    )
}

_DATASETS: Final = {
    dataset.name: dataset
    for dataset in (
        DatasetInfo(
            name="tinyshakespeare",
            title="TinyShakespeare",
            size_bytes=1_115_394,
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            urls=(
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
                "https://cdn.jsdelivr.net/gh/karpathy/char-rnn@master/data/tinyshakespeare/input.txt",
            ),
            ngram_anchors={"bigram": 3.58, "trigram": 2.96, "5-gram": 2.41},
            compressed_bpb=2.516,
        ),
        DatasetInfo(
            name="english_like",
            title="English-like generated text",
            size_bytes=1_000_000,
            sha256="2462ca7e44d6cbb54af7f287d1652a36fdbd54a292a475f1939e4f3fc65bfccd",
            # Generated by experiments/english_like_corpus.py, not downloaded.
            urls=(),
            ngram_anchors={"bigram": 3.22, "trigram": 2.19, "5-gram": 1.25},
            compressed_bpb=1.554,
        ),
    )
}


def get(name: str) -> Experiment:
    """Return the experiment of this name. Raises ``UnknownExperiment``."""
    try:
        return _EXPERIMENTS[name]
    except KeyError:
        raise UnknownExperiment(name) from None


def all() -> tuple[Experiment, ...]:
    """Return every experiment, in catalog order."""
    return tuple(_EXPERIMENTS.values())


def metric_specs() -> tuple[MetricSpec, ...]:
    """Return every metric that an experiment is ranked by, in catalog order."""
    return tuple(dict.fromkeys(experiment.metric_spec for experiment in _EXPERIMENTS.values()))


def get_dataset(name: str) -> DatasetInfo:
    """Return the data set of this name. Raises ``UnknownDataset``."""
    try:
        return _DATASETS[name]
    except KeyError:
        raise UnknownDataset(name) from None


def all_datasets() -> tuple[DatasetInfo, ...]:
    """Return every data set, in catalog order."""
    return tuple(_DATASETS.values())


def script_source(name: str) -> bytes:
    """Return the bytes of the experiment's script. Raises ``UnknownExperiment``."""
    return get(name).script_path.read_bytes()


def script_template() -> bytes:
    """Return the bytes of the template from which a person writes a script."""
    return (EXPERIMENTS_FOLDER / "script_template.py").read_bytes()


def script_sha256(name: str) -> str:
    """Return the hex sha256 of the experiment's script. Raises ``UnknownExperiment``."""
    return hashlib.sha256(script_source(name)).hexdigest()


def dataset_cache_name(name: str, sha256: str) -> str:
    """Return the file name under which a script looks for a data set in XEENET_DATA_DIR.

    The hash is part of the name, so that two data sets with the same name get different files.
    """
    return f"{name}-{sha256[:12]}.txt"
