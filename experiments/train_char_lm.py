# ruff: noqa: E402 (the budget's clock starts before the imports)
"""Train a character-level language model within a fixed time budget. Needs PyTorch and no more.

    python train_char_lm.py --config-file config.json             train, print one JSON line
    python train_char_lm.py --config-file config.json --prepare   only fetch and verify the data

config.json is a flat object: lr, lr_schedule (cosine|linear|step_decay), n_layers, n_heads,
d_model, d_ff, batch_size, context_length, seed, time_budget_seconds; optional: max_steps (stop
after exactly so many steps, if the budget allows), threads, device (auto|cpu|cuda|mps), dataset,
dataset_sha256, dataset_urls (http(s) addresses or file paths that replace the built-in ones).

Budget. The clock starts on the first line, before torch is imported. Training stops at 90 % of
the budget, or earlier when the final evaluation would not fit, and the JSON line is printed
inside the budget. A download on first use is not charged to the budget.
Data. Text files are cached as <name>-<first 12 digits of sha256>.txt in the folder XEENET_DATA_DIR
(default: the user's cache folder) and verified by hash at every start. First 90 %: training,
last 10 %: validation. The vocabulary is the set of bytes that occur in the file.
Output. One JSON line on stdout; progress lines (JSON) and remarks on stderr. val_bpb =
eval_nll_nats / (eval_bytes * ln 2). Losses are in nats per byte, durations in seconds.
Exit codes. 0: a result, also when the loss diverged (val_bpb null). 2: wrong config.
3: data not available. Anything else: an error of the run.
"""

import time

START = time.monotonic()

import os

# Threads that wait must sleep, not spin: on a machine with other work, spinning OpenMP threads
# made steps up to forty times as slow. libgomp reads this when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import argparse
import hashlib
import http.client
import json
import math
import random
import re
import signal
import sys
import tempfile
import urllib.request
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

Check = tuple[Callable[[Any], bool], str]  # a test of one value, and the words for what passes

# --- Constants: times in seconds, sizes in bytes ---------------------------------------------
SOFT_STOP_SHARE = 0.9  # of the budget: no training after it
PRINT_SECONDS, PRINT_SHARE = 0.25, 0.01  # kept free at the end: fixed, and of the budget
# The final evaluation is given so many times its estimate. The whole split is tried after the
# subset: when it comes too late after all, there is a result nevertheless.
SUBSET_SAFETY, WHOLE_SAFETY = 1.5, 1.1
MAX_EVAL_SHARE = 0.25  # of the budget: where the whole split would cost more, the subset is used
PROGRESS_EVAL_SHARE = 0.02  # of the budget, for all evaluations during training together
PROGRESS_POINTS = 10  # progress lines over the training time
SIGTERM_GRACE = 4.0  # after SIGTERM: time to evaluate and print, even past the budget
TRAIN_SHARE = 0.9  # of the data set
EVAL_SUBSET_BYTES, EVAL_SEGMENT_BYTES = 16_384, 256
# Large batches go through the model in pieces: on CPU small enough for its caches.
CPU_PIECE_TOKENS, GPU_PIECE_TOKENS = 4096, 65_536
WARMUP_SHARE = 0.05  # of the training time
BETA1, BETA2, EPSILON, WEIGHT_DECAY, MAX_GRAD_NORM = 0.9, 0.95, 1e-8, 0.1, 1.0
INIT_STD = 0.02
SLOPE_OCTAVES = 4.0  # the attention heads' slopes spread over so many powers of two

TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TINYSHAKESPEARE_URLS = [
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    "https://cdn.jsdelivr.net/gh/karpathy/char-rnn@master/data/tinyshakespeare/input.txt",
]
DOWNLOAD_TIMEOUT_SECONDS = 20


# --- Config ----------------------------------------------------------------------------------
def one_of(*values: str) -> Check:
    """Return the check for a fixed list of texts."""
    return lambda value: value in values, f"one of {', '.join(values)}"


def text_like(pattern: str) -> Check:
    """Return the check for a text that matches the whole pattern."""
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value)), (
        f"a text of the form {pattern}"
    )


# `type(value) is int`, because isinstance takes true for a whole number.
WHOLE: Check = (lambda value: type(value) is int and 0 < value < 2**31, "a whole number above 0")
POSITIVE: Check = (
    lambda value: type(value) in (int, float) and 0 < value < 1e300,
    "a finite number above 0",
)
REQUIRED: dict[str, Check] = {
    "lr": POSITIVE,
    "lr_schedule": one_of("cosine", "linear", "step_decay"),
    **dict.fromkeys(
        ("n_layers", "n_heads", "d_model", "d_ff", "batch_size", "context_length"), WHOLE
    ),
    "seed": (lambda value: type(value) is int and 0 <= value < 2**63, "a whole number from 0"),
    "time_budget_seconds": POSITIVE,
}
OPTIONAL: dict[str, Check] = {
    "max_steps": WHOLE,
    "threads": WHOLE,
    "device": one_of("auto", "cpu", "cuda", "mps"),
    "dataset": text_like("[A-Za-z0-9][A-Za-z0-9_.-]*"),  # becomes part of a file name
    "dataset_sha256": text_like("[0-9a-f]{64}"),
    "dataset_urls": (
        lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
        "a list of addresses or file paths",
    ),
}


def fail(code: int, message: str) -> NoReturn:
    """Print one line on stderr and leave with the exit code."""
    print(f"train_char_lm: {message}", file=sys.stderr)
    raise SystemExit(code)


def read_config(path: Path) -> dict[str, Any]:
    """Return the checked config with defaults filled in; leaves with code 2 when it is wrong."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(2, f"cannot read the config file {path}: {error}")
    if not isinstance(config, dict):
        fail(2, f"the config file {path} must hold one flat JSON object")
    checks = REQUIRED | OPTIONAL
    problems = [f"{key} is missing" for key in REQUIRED if key not in config]
    problems += [f"{key} is unknown" for key in config if key not in checks]
    problems += [
        f"{key} must be {checks[key][1]}, not {json.dumps(value)[:60]}"
        for key, value in config.items()
        if key in checks and not checks[key][0](value)
    ]
    if not problems and config["d_model"] % config["n_heads"]:
        problems.append("d_model must be divisible by n_heads")
    config = {"device": "auto", "dataset": "tinyshakespeare"} | config
    if config["dataset"] == "tinyshakespeare":
        defaults = {"dataset_sha256": TINYSHAKESPEARE_SHA256, "dataset_urls": TINYSHAKESPEARE_URLS}
        config = defaults | config
    elif "dataset_sha256" not in config:
        problems.append("dataset_sha256 is missing (only tinyshakespeare has a default)")
    if problems:
        fail(2, f"wrong config {path}: {'; '.join(problems)}")
    return dict(config)


# --- Data ------------------------------------------------------------------------------------
def cache_folder() -> Path:
    """Return the folder of the data sets: XEENET_DATA_DIR, or the platform's place for caches."""
    if folder := os.environ.get("XEENET_DATA_DIR"):
        return Path(folder)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "xeenet"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "xeenet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xeenet"


def cache_name(name: str, sha256: str) -> str:
    """Return the file name of a data set in the cache folder."""
    return f"{name}-{sha256[:12]}.txt"


def read_source(source: str) -> bytes:
    """Return the bytes behind an http(s) address or a file path. Raises OSError."""
    if not source.lower().startswith(("http://", "https://")):
        return Path(source).read_bytes()
    with urllib.request.urlopen(source, timeout=DOWNLOAD_TIMEOUT_SECONDS) as reply:  # noqa: S310 (scheme checked above)
        data: bytes = reply.read()
    return data


def store(path: Path, data: bytes) -> None:
    """Write a cache file by atomic rename: other processes see the old one or the new, whole."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
        temporary.replace(path)
    except OSError as error:  # the data is in memory: the run does not need the cache
        print(f"train_char_lm: could not cache {path}: {error}", file=sys.stderr)
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def load_text(config: dict[str, Any]) -> bytes:
    """Return the verified data set from cache or sources; leaves with code 3 when there is none."""
    path = cache_folder() / cache_name(config["dataset"], config["dataset_sha256"])
    tried = []
    for source in [str(path), *config.get("dataset_urls", [])]:
        try:
            data = read_source(source)
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: no address
            tried.append(f"{source} ({error})")
            continue
        if hashlib.sha256(data).hexdigest() == config["dataset_sha256"]:
            if source != str(path):
                store(path, data)
            return data
        tried.append(f"{source} (other content: its sha256 differs)")
    fail(
        3,
        f"data set {config['dataset']} is not available. Tried: {'; '.join(tried)}. "
        f"Put a file with sha256 {config['dataset_sha256']} at {path} "
        "(XEENET_DATA_DIR names the folder), or name its place in dataset_urls.",
    )


def prepare() -> tuple[dict[str, Any], bytes, float]:
    """Read command line, config and data; returns config, text and the clock's start."""
    parser = argparse.ArgumentParser(description="Train a character-level language model.")
    parser.add_argument("--config-file", type=Path, required=True, help="flat JSON object")
    parser.add_argument("--prepare", action="store_true", help="fetch and verify the data only")
    arguments = parser.parse_args()
    config = read_config(arguments.config_file)
    before = time.monotonic()
    path = cache_folder() / cache_name(config["dataset"], config["dataset_sha256"])
    cached = path.exists()
    text = load_text(config)
    if len(text) - int(TRAIN_SHARE * len(text)) < 2 or len(text) < 2 * config["context_length"]:
        fail(2, f"{config['dataset']} is too short for context_length {config['context_length']}")
    if arguments.prepare and not path.exists():
        fail(3, f"{config['dataset']} was found but could not be stored at {path}")
    if arguments.prepare:
        print(f"train_char_lm: {config['dataset']} is ready at {path}", file=sys.stderr)
        raise SystemExit(0)
    return config, text, START if cached else START + time.monotonic() - before


# A wrong config and missing data end the run here, before a second goes to importing torch.
PREPARED = prepare() if __name__ == "__main__" else None

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor


# --- Model: pre-norm decoder-only transformer, functional, all weights in one flat tensor ------
def weight_shapes(config: dict[str, Any], vocabulary: int) -> dict[str, tuple[int, int]]:
    """Return name -> (out, in) of every weight matrix. There are no biases and no norm gains."""
    d_model, d_ff = config["d_model"], config["d_ff"]
    shapes = {"embed": (vocabulary, d_model), "previous": (vocabulary, d_model)}
    for layer in range(config["n_layers"]):
        shapes[f"qkv{layer}"] = (3 * d_model, d_model)
        shapes[f"attention_out{layer}"] = (d_model, d_model)
        shapes[f"up{layer}"] = (d_ff, d_model)
        shapes[f"down{layer}"] = (d_model, d_ff)
    return shapes | {"head": (vocabulary, d_model)}


def initial_weights(shapes: dict[str, tuple[int, int]]) -> Tensor:
    """Return the flat weights: normal; zero where a layer writes to the residual stream."""
    parts = [torch.randn(shape) * INIT_STD for shape in shapes.values()]
    for name, part in zip(shapes, parts, strict=True):
        if name.startswith(("attention_out", "down")):  # each block starts as the identity
            part.zero_()
    return torch.cat([part.flatten() for part in parts])


def distance_bias(n_heads: int, length: int) -> Tensor:
    """Return the (heads, length, length) term added to attention scores: position and causality.

    Each head prefers near bytes by its own slope (ALiBi; 1 for the first head, then smaller), and
    the future is -inf. On this task it learns faster than rotary positions and costs nothing.
    """
    slopes = 2.0 ** (-SLOPE_OCTAVES * torch.arange(n_heads) / n_heads)
    distance = torch.arange(length)[:, None] - torch.arange(length)
    bias = -slopes[:, None, None] * distance
    return bias.masked_fill(distance < 0, -math.inf)


def attention(qkv: Tensor, bias: Tensor, n_heads: int, fused: bool) -> Tensor:
    """Return causal attention (batch, time, d_model) of qkv (batch, time, 3 * d_model)."""
    batch, length, width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
    if fused:
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    else:  # bfloat16 on CPUs: here plain matrix products are about 1.7 times as fast
        q, k, v = (part.reshape(batch * n_heads, length, -1) for part in (q, k, v))
        scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
        mixed = torch.bmm(scores.softmax(-1), v).view(batch, n_heads, length, -1)
    return mixed.transpose(1, 2).reshape(batch, length, width // 3)


def forward(
    weights: dict[str, Tensor], tokens: Tensor, bias: Tensor, config: dict[str, Any], fused: bool
) -> Tensor:
    """Return the logits (batch, time, vocabulary) for tokens (batch, time)."""
    width = (config["d_model"],)
    # Each position also sees the byte before it directly: pairs of bytes are learned much sooner.
    before = F.embedding(tokens[:, :-1], weights["previous"])
    x = F.embedding(tokens, weights["embed"]) + F.pad(before, (0, 0, 1, 0))
    for layer in range(config["n_layers"]):
        qkv = F.linear(F.layer_norm(x, width), weights[f"qkv{layer}"])
        mixed = attention(qkv, bias, config["n_heads"], fused)
        x = x + F.linear(mixed, weights[f"attention_out{layer}"])
        hidden = F.relu(F.linear(F.layer_norm(x, width), weights[f"up{layer}"]))
        x = x + F.linear(hidden, weights[f"down{layer}"])
    return F.linear(F.layer_norm(x, width), weights["head"])


# --- Optimiser and schedule ------------------------------------------------------------------
class AdamW:
    """AdamW on one flat tensor (importing torch.optim costs 1.5 s of the budget)."""

    def __init__(self, weights: Tensor) -> None:
        self.weights, self.steps = weights, 0
        self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)

    @torch.no_grad()
    def step(self, gradient: Tensor, lr: float) -> None:
        self.steps += 1
        gradient *= (MAX_GRAD_NORM / (gradient.norm() + 1e-6)).clamp(max=1.0)
        self.mean.lerp_(gradient, 1 - BETA1)
        self.square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        scale = (self.square / (1 - BETA2**self.steps)).sqrt_().add_(EPSILON)
        self.weights.mul_(1 - lr * WEIGHT_DECAY)
        self.weights.addcdiv_(self.mean, scale, value=-lr / (1 - BETA1**self.steps))


def learning_rate(config: dict[str, Any], progress: float) -> float:
    """Return the rate at progress 0..1 of the training time (or of max_steps)."""
    warmup = min(1.0, (progress + 1e-3) / WARMUP_SHARE)
    decay = {
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
        "linear": 1 - progress,
        "step_decay": 1.0 if progress < 0.6 else 0.3 if progress < 0.85 else 0.09,
    }[config["lr_schedule"]]
    return float(config["lr"] * warmup * decay)


# --- The run ---------------------------------------------------------------------------------
def choose_device(wanted: str) -> str:
    """Return cpu, cuda or mps; leaves with code 2 when the wanted one is not here."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next((device for device, available in here.items() if available), "cpu")
    if not here.get(wanted, True):
        fail(2, f"device {wanted} is not available on this machine")
    return wanted


def choose_dtype(device: str) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it natively, else float32."""
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.bfloat16 if native else torch.float32


class Run:
    """One training run: data, weights and the clock. All clock values count from `started`."""

    def __init__(self, config: dict[str, Any], text: bytes, started: float) -> None:
        random.seed(config["seed"])
        torch.manual_seed(config["seed"])
        torch.set_num_threads(config.get("threads") or torch.get_num_threads())
        self.config, self.started, self.budget = config, started, config["time_budget_seconds"]
        self.deadline = (1 - PRINT_SHARE) * self.budget - PRINT_SECONDS
        self.device = choose_device(config["device"])
        self.dtype = choose_dtype(self.device)
        self.fused = self.device != "cpu" or self.dtype == torch.float32
        vocabulary = bytes(sorted(set(text)))
        numbers = bytearray(
            text.translate(bytes.maketrans(vocabulary, bytes(range(len(vocabulary)))))
        )
        tokens = torch.frombuffer(numbers, dtype=torch.uint8).to(self.device, torch.long)
        split = int(TRAIN_SHARE * len(tokens))
        self.train_tokens, self.val_tokens = tokens[:split], tokens[split:]
        self.shapes = weight_shapes(config, len(vocabulary))
        self.weights = initial_weights(self.shapes).to(self.device).requires_grad_()
        self.optimiser = AdamW(self.weights.detach())
        # Windows that go through the model together, in evaluation and in training.
        tokens_at_once = CPU_PIECE_TOKENS if self.device == "cpu" else GPU_PIECE_TOKENS
        self.eval_piece = max(1, tokens_at_once // config["context_length"])
        self.train_piece = min(self.eval_piece, config["batch_size"])
        self.biases: dict[tuple[int, int], Tensor] = {}
        self.losses: deque[float] = deque(maxlen=10)
        self.terminated = False
        self.eval_seconds, self.eval_bytes = 0.0, 0  # of all evaluations so far
        self.eval_rate = 0.0  # seconds per evaluated byte

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def bias(self, batch: int, length: int) -> Tensor:
        """Return the attention bias in the shape that `attention` takes for such a batch."""
        key = (1 if self.fused else batch, length)
        if key not in self.biases:
            bias = distance_bias(self.config["n_heads"], length).to(self.device, self.dtype)
            self.biases[key] = bias if self.fused else bias.repeat(batch, 1, 1)
        return self.biases[key]

    def nll(self, windows: Tensor) -> Tensor:
        """Return the summed nats of predicting windows[:, 1:] from what stands before."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = torch.split(self.weights.to(self.dtype), sizes)
        weights = {
            name: part.view(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        inputs, targets = windows[:, :-1], windows[:, 1:].flatten()
        logits = forward(weights, inputs, self.bias(*inputs.shape), self.config, self.fused)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets, reduction="sum")

    # Evaluation: fixed windows of context_length bytes that follow each other without overlap.
    # The subset is the same EVAL_SUBSET_BYTES predicted bytes for every config: segments of 256,
    # spread evenly over the split. Scored by n-gram models of order 2, 3 and 5, it is within
    # 0.003 bits per byte of the whole split of TinyShakespeare (0.02 on the generated corpus).
    def whole_split(self) -> list[tuple[int, int]]:
        return [(0, len(self.val_tokens) - 1)]

    def subset(self) -> list[tuple[int, int]]:
        """Return the (first, length) of the segments; the whole split when that is no longer."""
        whole = len(self.val_tokens) - 1
        if whole <= EVAL_SUBSET_BYTES:
            return self.whole_split()
        count = EVAL_SUBSET_BYTES // EVAL_SEGMENT_BYTES
        return [(i * whole // count, EVAL_SEGMENT_BYTES) for i in range(count)]

    @torch.no_grad()
    def evaluate(self, segments: list[tuple[int, int]], deadline: float) -> tuple[float, int]:
        """Return (nats, bytes) over the segments, or (nan, 0) when the deadline comes first."""
        context = self.config["context_length"]
        by_length: dict[int, list[int]] = {}
        for first, length in segments:
            for start in range(first, first + length, context):
                by_length.setdefault(min(context, first + length - start), []).append(start)
        nats, count, began = 0.0, 0, self.elapsed()
        longest = self.eval_rate * self.eval_piece * context
        for length, starts in by_length.items():
            offsets = torch.arange(length + 1, device=self.device)
            for piece in torch.split(torch.tensor(starts, device=self.device), self.eval_piece):
                before = self.elapsed()
                if before + longest > deadline:
                    return math.nan, 0
                nats += self.nll(self.val_tokens[piece[:, None] + offsets]).item()
                count += len(piece) * length
                longest = max(longest, self.elapsed() - before)
        seconds = self.elapsed() - began
        # The best rate seen: one stall of a busy machine must not end the training early.
        best = self.eval_rate if self.eval_bytes else math.inf
        self.eval_rate = min(best, seconds / count)
        self.eval_seconds += seconds
        self.eval_bytes += count
        return nats, count

    def reserve(self) -> float:
        """Return the seconds to keep for the final evaluation."""
        whole = len(self.val_tokens) - 1
        subset = min(EVAL_SUBSET_BYTES, whole) * self.eval_rate * SUBSET_SAFETY
        both = subset + whole * self.eval_rate * WHOLE_SAFETY
        affordable = both <= MAX_EVAL_SHARE * self.budget
        return both if affordable else subset

    def soft_stop(self) -> float:
        return float(min(SOFT_STOP_SHARE * self.budget, self.deadline - self.reserve()))

    def gradient(self) -> tuple[Tensor, float] | None:
        """Return gradient and mean loss of a fresh batch, or None when there is no time for it."""
        context, batch = self.config["context_length"], self.config["batch_size"]
        starts = torch.randint(len(self.train_tokens) - context, (batch, 1))
        windows = self.train_tokens[(starts + torch.arange(context + 1)).to(self.device)]
        total, loss, pieces = (
            torch.zeros_like(self.weights),
            0.0,
            torch.split(windows, self.train_piece),
        )
        for done, piece in enumerate(pieces, start=1):
            before = self.elapsed()
            mean = self.nll(piece) / (batch * context)
            total += torch.autograd.grad(mean, self.weights)[0]
            loss += mean.item()
            seconds = self.elapsed() - before
            if self.eval_rate == 0:  # the very first piece also warms up: the next are faster
                seconds *= 0.5
            if self.eval_bytes == 0:  # not measured yet: about a third of what training costs
                estimate = 0.4 * seconds / (len(piece) * context)
                self.eval_rate = min(self.eval_rate or estimate, estimate)
            late = self.elapsed() + seconds * (len(pieces) - done) > self.deadline - self.reserve()
            if self.terminated or (done < len(pieces) and late):
                return None
        return total, loss

    def train(self) -> str:
        """Train until time or max_steps are over; return the stop reason."""
        began, step_seconds, max_steps = self.elapsed(), 0.0, self.config.get("max_steps")
        progress, next_report = 0.0, 1 / PROGRESS_POINTS
        while not self.terminated:
            if max_steps is not None:
                progress = self.optimiser.steps / max_steps
            else:  # the soft stop moves a little with the estimate of the evaluation
                available = max(1e-9, self.soft_stop() - began)
                progress = max(progress, min(1.0, (self.elapsed() - began) / available))
            if self.optimiser.steps and progress >= next_report:
                self.report_progress()
                next_report = progress + 1 / PROGRESS_POINTS
            if self.optimiser.steps == max_steps:
                return "max_steps"
            now = self.elapsed()
            if now + step_seconds > self.soft_stop():
                break
            found = self.gradient()
            if found is None:
                break
            if not math.isfinite(found[1]):
                return "diverged"
            self.optimiser.step(found[0], learning_rate(self.config, progress))
            self.losses.append(found[1])
            step_seconds = self.elapsed() - now
        if self.terminated:
            return "terminated"
        return "time_budget" if self.optimiser.steps else "budget_too_small"

    def report_progress(self) -> None:
        """Print a progress line, with a cheap val_bpb while its share of the budget lasts."""
        val_bpb, segments = None, self.subset()[::8]
        cost = self.eval_rate * sum(length for _, length in segments)
        if self.eval_seconds + cost <= PROGRESS_EVAL_SHARE * self.budget:
            nats, count = self.evaluate(segments, self.soft_stop())
            if count and math.isfinite(nats):
                val_bpb = round(nats / count / math.log(2), 4)
        line = {
            "event": "progress",
            "elapsed_seconds": round(self.elapsed(), 3),
            "step": self.optimiser.steps,
            "tokens": self.tokens_trained(),
            "train_loss": round(sum(self.losses) / len(self.losses), 4),
            "val_bpb": val_bpb,
        }
        print(json.dumps(line), file=sys.stderr, flush=True)

    def tokens_trained(self) -> int:
        return int(self.optimiser.steps * self.config["batch_size"] * self.config["context_length"])

    def final_evaluation(self) -> tuple[float, int]:
        """Return (nats, bytes) of the whole split, else of the subset, else (nan, 0)."""
        deadline = self.deadline
        if self.terminated:
            deadline = max(deadline, self.elapsed() + SIGTERM_GRACE)
        small = self.evaluate(self.subset(), deadline)
        whole = len(self.val_tokens) - 1
        if small[1] and self.elapsed() + WHOLE_SAFETY * whole * self.eval_rate < deadline:
            large = self.evaluate(self.whole_split(), deadline)
            return large if large[1] else small
        return small

    def result(self) -> dict[str, Any]:
        """Train, evaluate, return the result line; leaves with 143 if SIGTERM left no time."""
        setup_seconds = self.elapsed()
        stop_reason = self.train()
        train_seconds = self.elapsed() - setup_seconds - self.eval_seconds
        nats, count = math.nan, 0
        if stop_reason not in ("diverged", "budget_too_small"):
            nats, count = self.final_evaluation()
            if not count and self.terminated:
                fail(143, "ended by SIGTERM before there was anything to evaluate")
            if not math.isfinite(nats):
                stop_reason = "diverged" if count else "budget_too_small"
        measured = math.isfinite(nats)
        losses = [loss for loss in self.losses if math.isfinite(loss)]
        return {
            "val_bpb": nats / (count * math.log(2)) if measured else None,
            "train_loss": sum(losses) / len(losses) if losses else None,
            "steps_completed": self.optimiser.steps,
            "wall_time_seconds": round(self.elapsed(), 3),
            "device_used": self.device,
            "model_params": self.weights.numel(),
            "eval_nll_nats": nats if measured else None,
            "eval_bytes": count if measured else 0,
            "eval_tokens": count if measured else 0,  # one token is one byte
            "dataset": self.config["dataset"],
            "dataset_sha256": self.config["dataset_sha256"],
            "tokens_trained": self.tokens_trained(),
            "train_seconds": round(train_seconds, 3),
            "eval_seconds": round(self.eval_seconds, 3),
            "setup_seconds": round(setup_seconds, 3),
            "stop_reason": stop_reason,
            "diverged": stop_reason == "diverged",
            "threads": torch.get_num_threads(),
            "dtype": str(self.dtype).removeprefix("torch."),
            "torch_version": torch.__version__,
            "seed": self.config["seed"],
            "peak_memory_mb": peak_memory_mb(self.device),
        }


def peak_memory_mb(device: str) -> float | None:
    """Return the peak memory of the GPU, else of this process; None where neither is known."""
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    if sys.platform == "win32":
        return None
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def main(config: dict[str, Any], text: bytes, started: float) -> NoReturn:
    """Run, print the result line and leave at once: a normal exit would cost another second."""
    run = Run(config, text, started)
    signal.signal(signal.SIGTERM, lambda *_: setattr(run, "terminated", True))
    print(json.dumps(run.result(), allow_nan=False), flush=True)
    sys.stderr.flush()
    os._exit(0)


if PREPARED:
    main(*PREPARED)
