# ruff: noqa: E402, S101 (the budget's clock starts before the imports; asserts state shapes)
"""Train a character-level language model within a fixed time budget. Needs PyTorch and no more.

    python train_char_lm.py --config-file config.json             train, print one JSON line
    python train_char_lm.py --config-file config.json --prepare   only fetch and verify the data
    python train_char_lm.py --config-file config.json --describe  print what a step costs, as JSON

Config: a flat JSON object, see read_config; dataset_urls are addresses or file paths. A run with
max_steps makes exactly so many unless its budget ends first: the clock decides nothing else, so
the value does not depend on the machine's speed.
Budget: the clock starts on the first line. Training stops at 90 % of the budget, or earlier when
the final evaluation would not fit; the result is printed inside it. Downloads are not charged.
Data: a file <name>-<first 12 digits of sha256>.txt in the folder XEENET_DATA_DIR (default: the
user's cache folder), verified at every start. First 90 %: training, last 10 %: validation.
Output: one JSON line on stdout; progress lines (JSON) and remarks on stderr. Losses are in nats
per byte, durations in seconds; val_bpb = eval_nll_nats / (eval_bytes * ln 2).
Exit codes: 0 a result, also when the loss diverged (val_bpb null); 2 wrong config; 3 no data;
4 this machine lacks PyTorch or the wanted device; 143 SIGTERM came before there was anything to
evaluate; anything else: an error of the run.
"""

from __future__ import annotations

import time

START = time.monotonic()

import os
import signal


def end_early(*_: object) -> None:
    """Answer SIGTERM until training begins: say so and exit."""
    try:
        os.write(2, b"train_char_lm: ended by SIGTERM before there was anything to evaluate\n")
    finally:  # SystemExit could get lost in the import of torch
        os._exit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end_early)

# Threads that wait must sleep: beside other work, spinning ones made steps up to 40 times as slow.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # libgomp reads it when torch is imported

import argparse
import functools
import hashlib
import http.client
import json
import math
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn
from urllib.request import urlopen

# --- Constants: times in seconds, sizes in bytes, shares of the budget -------------------------
SOFT_STOP_SHARE = 0.9  # no training after it
PRINT_SECONDS, PRINT_SHARE = 0.25, 0.01  # kept free at the end, together
# The final evaluation gets so many times its estimate. The whole split is tried after the subset.
SUBSET_SAFETY, WHOLE_SAFETY, UNMEASURED_SAFETY = 1.5, 1.1, 1.3
MAX_EVAL_SHARE = 0.25  # where the whole split would cost more, the subset is used
PROGRESS_EVAL_SHARE, PROGRESS_POINTS = 0.02, 10  # evaluations during training; progress lines
SIGTERM_GRACE = 4.0  # after SIGTERM: time to evaluate and print, even past the budget
TRAIN_SHARE, WARMUP_SHARE = 0.9, 0.05  # of the data set; of the training time
EVAL_SUBSET_BYTES, EVAL_SEGMENT_BYTES = 16_384, 256
CPU_PIECE_TOKENS, GPU_PIECE_TOKENS = 4096, 65_536  # through the model at once; fits a CPU's caches
BETA1, BETA2, EPSILON, WEIGHT_DECAY, MAX_GRAD_NORM = 0.9, 0.95, 1e-8, 0.1, 1.0
UPDATE_RMS = 0.2  # of Muon's updates, per lr: about that of AdamW's, so one lr is right for both
NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS = (3.4445, -4.7750, 2.0315), 4
INIT_STD, SLOPE_OCTAVES = 0.02, 4.0  # the heads' slopes spread over so many powers of two
DOWNLOAD_TIMEOUT = 20

# What one step costs: a server reads this literal and never runs the script; --describe prints it.
DESCRIBE = {  # the second part of matrix_gflop: the Newton-Schulz iterations
    "matrix_gflop": "6e-9 * batch_size * context_length"
    " * d_model * (n_layers * (4 * d_model + 2 * d_ff) + 65)"
    " + 1e-9 * n_layers * d_model * d_model * (112 * d_model + 32 * d_ff)",
    "attention_gflop": "12e-9 * batch_size * context_length * context_length * n_layers * d_model",
    "attention_elements": "1e-6 * batch_size * context_length * context_length"
    " * n_layers * n_heads",
    "activations": "1e-6 * batch_size * context_length * n_layers * (8 * d_model + 2 * d_ff)",
    "parameters": "1e-6 * d_model * (n_layers * (4 * d_model + 2 * d_ff) + 195)",
}


# --- Data ------------------------------------------------------------------------------------
def token_splits(text: bytes, device: str) -> tuple[Tensor, Tensor, int]:
    """Return training tokens, validation tokens and how many kinds of tokens there are."""
    vocabulary = bytes(sorted(set(text)))  # a token is the place of its byte in here
    places = text.translate(bytes.maketrans(vocabulary, bytes(range(len(vocabulary)))))
    tokens = torch.frombuffer(bytearray(places), dtype=torch.uint8).to(device, torch.long)
    split = int(TRAIN_SHARE * len(tokens))
    return tokens[:split], tokens[split:], len(vocabulary)


def subset_of(whole: int) -> list[tuple[int, int]]:
    """Return what is predicted of so many bytes where not all are, as (first byte, length)."""
    # The same for every config. n-gram models score within 0.003 bits per byte on it and on all.
    count = EVAL_SUBSET_BYTES // EVAL_SEGMENT_BYTES
    segments = [(i * whole // count, EVAL_SEGMENT_BYTES) for i in range(count)]
    return segments if whole > EVAL_SUBSET_BYTES else [(0, whole)]


# --- Model: pre-norm decoder-only transformer ------------------------------------------------
def initial_weights(config: dict[str, Any], vocabulary: int) -> list[Tensor]:
    """Return all weights, those of the blocks by shape; there are no biases and no norm gains."""
    layers, width = config["n_layers"], config["d_model"]
    # q, k, v, output of attention; up, down; embeddings of a byte and of the one before it, head
    shapes = (layers, 4, width, width), (layers, 2, config["d_ff"], width), (3, vocabulary, width)
    square, wide, outer = (torch.randn(shape) * INIT_STD for shape in shapes)
    square[:, 3], wide[:, 1] = 0, 0  # zero outputs: each block starts as the identity
    return [square, wide, outer]


@functools.cache
def distance_bias(
    n_heads: int, length: int, copies: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Return the (copies * heads, length, length) term of attention scores: position, causality."""
    # ALiBi: each head prefers near bytes by its own slope, 1 for the first, then smaller. It learns
    # faster here than rotary positions, and costs nothing.
    slopes = 2.0 ** (-SLOPE_OCTAVES * torch.arange(n_heads) / n_heads)
    distance = torch.arange(length)[:, None] - torch.arange(length)
    bias = (-slopes[:, None, None] * distance).masked_fill(distance < 0, -math.inf)
    return bias.to(device, dtype).repeat(copies, 1, 1)


def attention(qkv: Tensor, n_heads: int) -> Tensor:
    """Return causal attention (batch, time, d_model) of qkv (batch, time, 3 * d_model)."""
    batch, length, width = qkv.shape
    q, k, v = qkv.view(batch, length, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
    if qkv.is_cpu and qkv.dtype == torch.bfloat16:  # here 1.7 times as fast as the fused kernel
        bias = distance_bias(n_heads, length, batch, qkv.device, qkv.dtype)
        q, k, v = (part.reshape(batch * n_heads, length, -1) for part in (q, k, v))
        scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
        mixed = torch.bmm(scores.softmax(-1), v).view(batch, n_heads, length, -1)
    else:
        bias = distance_bias(n_heads, length, 1, qkv.device, qkv.dtype)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    assert mixed.shape == (batch, n_heads, length, width // 3 // n_heads)
    return mixed.transpose(1, 2).reshape(batch, length, width // 3)


def forward(weights: list[Tensor], tokens: Tensor, config: dict[str, Any]) -> Tensor:
    """Return the logits (batch, time, vocabulary) for tokens (batch, time)."""
    width = (config["d_model"],)
    square, wide, (embed, previous, head) = (part.unbind() for part in weights)
    # Each position also sees the byte before it directly: pairs of bytes are learned much sooner.
    before = F.embedding(tokens[:, :-1], previous)
    x = F.embedding(tokens, embed) + F.pad(before, (0, 0, 1, 0))
    for inputs_and_output, (up, down) in zip(square, wide, strict=True):
        qkv, output = inputs_and_output.split([3, 1])
        qkv = F.linear(F.layer_norm(x, width), qkv.flatten(0, 1))
        x = x + F.linear(attention(qkv, config["n_heads"]), output.squeeze(0))
        x = x + F.relu(F.linear(F.layer_norm(x, width), up)) @ down
    return F.linear(F.layer_norm(x, width), head)


# --- Optimiser and schedule ------------------------------------------------------------------
def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Return matrices (count, rows, columns) with singular values near 1; zero ones stay zero."""
    a, b, c = NEWTON_SCHULZ
    x: Tensor = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + EPSILON)).to(dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x.mT @ x
        x = torch.baddbmm(x, x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), beta=a)
    return x


class Optimiser:
    """Muon for the stacked matrices at the start of the flat weights, AdamW for those behind."""

    def __init__(self, weights: Tensor, stacks: list[torch.Size], dtype: torch.dtype) -> None:
        self.weights, self.stacks, self.dtype, self.steps = weights, stacks, dtype, 0
        inner = sum(stack.numel() for stack in stacks)
        self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights[inner:])

    def step(self, gradient: Tensor, lr: float) -> None:
        self.steps += 1
        # Of all weights together: no single batch rules the means. Muon's step has its own size.
        gradient *= (MAX_GRAD_NORM / (gradient.norm() + 1e-6)).clamp(max=1.0)
        self.weights.mul_(1 - lr * WEIGHT_DECAY)
        self.mean.lerp_(gradient, 1 - BETA1)
        ahead, end = gradient.lerp(self.mean, BETA1), 0  # Nesterov's momentum
        for stack in self.stacks:
            begin, end = end, end + stack.numel()
            update = orthogonal(ahead[begin:end].view(-1, *stack[-2:]), self.dtype).flatten()
            self.weights[begin:end].add_(update, alpha=-lr * UPDATE_RMS * max(stack[-2:]) ** 0.5)
        outer, mean = gradient[end:], self.mean[end:]
        self.square.mul_(BETA2).addcmul_(outer, outer, value=1 - BETA2)
        scale = (self.square / (1 - BETA2**self.steps)).sqrt_().add_(EPSILON)
        self.weights[end:].addcdiv_(mean, scale, value=-lr / (1 - BETA1**self.steps))


def learning_rate(config: dict[str, Any], progress: float) -> float:
    """Return the rate at progress 0..1 of the training time (or of max_steps)."""
    warmup = min(1.0, (progress + 1e-3) / WARMUP_SHARE)
    decay = {
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
        "linear": 1 - progress,
        "step_decay": 1.0 if progress < 0.6 else 0.3 if progress < 0.85 else 0.09,
    }[config["lr_schedule"]]
    return float(config["lr"] * warmup * decay)


# --- The loop: set-up, evaluation, training, summary ------------------------------------------
class Run:
    """One training run: data, weights and the clock. All clock values count from `started`."""

    def __init__(self, config: dict[str, Any], text: bytes, started: float) -> None:
        torch.manual_seed(config["seed"])
        torch.set_num_threads(config.get("threads") or torch.get_num_threads())
        self.config, self.started = config, started
        self.budget, self.max_steps = float(config["time_budget_seconds"]), config.get("max_steps")
        # A run of fixed steps ends early only when time is over: its forecasts count nothing.
        self.foresight = 0 if self.max_steps else 1
        self.deadline = (1 - PRINT_SHARE) * self.budget - PRINT_SECONDS
        self.device, self.dtype = choose_device(config["device"])
        self.train_tokens, self.val_tokens, vocabulary = token_splits(text, self.device)
        whole = len(self.val_tokens) - 1
        self.whole_split, self.subset = [(0, whole)], subset_of(whole)
        parts = initial_weights(config, vocabulary)
        self.shapes, self.losses = [part.shape for part in parts], list[float]()
        self.weights = torch.cat([part.flatten() for part in parts]).to(self.device)
        self.optimiser = Optimiser(self.weights, self.shapes[:2], self.dtype)
        at_once = CPU_PIECE_TOKENS if self.device == "cpu" else GPU_PIECE_TOKENS
        self.windows_at_once = max(1, at_once // config["context_length"])
        self.tokens_per_step = config["batch_size"] * config["context_length"]
        self.tokens_trained, self.terminated = 0, False
        # Of all evaluations so far; per evaluated byte, estimated until there was one.
        self.eval_seconds = self.eval_rate = 0.0

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def nll(self, weights: Tensor, windows: Tensor) -> Tensor:
        """Return the summed nats of predicting windows[:, 1:] from what stands before."""
        parts = weights.to(self.dtype).split([shape.numel() for shape in self.shapes])
        shaped = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        logits = forward(shaped, windows[:, :-1], self.config).flatten(0, 1).float()
        return F.cross_entropy(logits, windows[:, 1:].flatten(), reduction="sum")

    def evaluate(self, segments: list[tuple[int, int]], deadline: float) -> tuple[float, int]:
        """Return (nats, bytes) over the segments, or (nan, 0) when the deadline comes first."""
        context = self.config["context_length"]
        windows: dict[int, list[int]] = {}  # length -> where windows of that length start
        for first, length in segments:
            for start in range(first, first + length, context):
                windows.setdefault(min(context, first + length - start), []).append(start)
        nats, count, began = 0.0, 0, self.elapsed()
        longest = self.eval_rate * self.windows_at_once * context
        for length, starts in windows.items():
            offsets = torch.arange(length + 1, device=self.device)
            for piece in torch.tensor(starts, device=self.device).split(self.windows_at_once):
                before = self.elapsed()
                if before + self.foresight * longest > deadline:
                    self.eval_seconds += before - began
                    return math.nan, 0
                nats += self.nll(self.weights, self.val_tokens[piece[:, None] + offsets]).item()
                count += len(piece) * length
                longest = max(longest, self.elapsed() - before)
        seconds = self.elapsed() - began
        # The best rate seen: one stall of a busy machine must not end the training early.
        self.eval_rate = min(self.eval_rate if self.eval_seconds else math.inf, seconds / count)
        self.eval_seconds += seconds
        return nats, count

    def eval_cost(self, segments: list[tuple[int, int]]) -> float:
        return self.eval_rate * sum(length for _, length in segments)

    def eval_start(self) -> float:
        """Return when the final evaluation must begin to be over in time."""
        # What was never measured is estimated from training steps, the first of them cold.
        doubt = 1.0 if self.eval_seconds else UNMEASURED_SAFETY
        subset = doubt * SUBSET_SAFETY * self.eval_cost(self.subset)
        both, most = (
            subset + WHOLE_SAFETY * self.eval_cost(self.whole_split),
            MAX_EVAL_SHARE * self.budget,
        )
        if not self.foresight:
            subset = min(subset, most)
        return self.deadline - (both if both <= most else subset)

    def soft_stop(self) -> float:
        return min(SOFT_STOP_SHARE * self.budget, self.eval_start())

    def final_evaluation(self) -> tuple[float, int]:
        """Return (nats, bytes) of the whole split, else of the subset, else (nan, 0)."""
        deadline = max(self.deadline, self.elapsed() + SIGTERM_GRACE if self.terminated else 0.0)
        subset = self.evaluate(self.subset, deadline)
        seconds = self.foresight * WHOLE_SAFETY * self.eval_cost(self.whole_split)
        if subset[1] == 0 or self.elapsed() + seconds >= deadline:
            return subset
        whole = self.evaluate(self.whole_split, deadline)
        return whole if whole[1] else subset

    def gradient(self) -> tuple[Tensor, float] | None:
        """Return gradient and mean loss of a fresh batch, or None when there is no time for it."""
        # The first batch is cut short rather than given up: one step of fewer windows is worth more
        # than none (`tokens_trained` tells). Not under max_steps: it would be another run.
        context, batch = self.config["context_length"], self.config["batch_size"]
        starts = torch.randint(len(self.train_tokens) - context, (batch, 1))
        windows = self.train_tokens[(starts + torch.arange(context + 1)).to(self.device)]
        pieces = windows.split(self.windows_at_once)
        weights = self.weights.detach().requires_grad_()
        total, loss = torch.zeros_like(weights), 0.0
        for done, piece in enumerate(pieces, start=1):
            before = self.elapsed()
            mean = self.nll(weights, piece) / self.tokens_per_step
            total += torch.autograd.grad(mean, weights)[0]
            loss += mean.item()
            seconds = self.elapsed() - before
            if self.eval_rate == 0:  # the very first piece also warms up: the next are faster
                seconds *= 0.5
            if self.eval_seconds == 0:  # not measured yet: about a third of what training costs
                estimate = 0.4 * seconds / (len(piece) * context)
                self.eval_rate = min(self.eval_rate or estimate, estimate)
            left = len(pieces) - done if self.optimiser.steps else min(1, len(pieces) - done)
            late = left and self.elapsed() + self.foresight * seconds * left > self.eval_start()
            if self.terminated or (late and (self.optimiser.steps or self.max_steps)):
                return None
            if late:
                break
        share = done * len(pieces[0]) / len(windows) if done < len(pieces) else 1.0
        self.tokens_trained += round(share * self.tokens_per_step)
        return total / share, loss / share

    def train(self) -> str:
        """Train until time or max_steps are over; return the stop reason."""
        began, step_seconds = self.elapsed(), 0.0
        progress, next_report = 0.0, 1 / PROGRESS_POINTS
        while not self.terminated:
            if self.max_steps:
                progress = self.optimiser.steps / self.max_steps
            else:  # the soft stop moves a little with the estimate of the evaluation
                available = max(1e-9, self.soft_stop() - began)
                progress = max(progress, min(1.0, (self.elapsed() - began) / available))
            if self.optimiser.steps and progress >= next_report:
                self.report_progress()
                next_report = progress + 1 / PROGRESS_POINTS
            if self.optimiser.steps == self.max_steps:
                return "max_steps"
            before = self.elapsed()
            late = before + self.foresight * step_seconds > self.soft_stop()
            if late or (found := self.gradient()) is None:
                break
            gradient, loss = found
            if not math.isfinite(loss):
                return "diverged"
            self.optimiser.step(gradient, learning_rate(self.config, progress))
            self.losses = [*self.losses[-9:], loss]
            step_seconds = self.elapsed() - before
        if not self.optimiser.steps:  # the value of an untrained model is no finding
            return "budget_too_small"
        return "terminated" if self.terminated else "time_budget"

    def report_progress(self) -> None:
        """Print a progress line, with a cheap val_bpb while its share of the budget lasts."""
        val_bpb, segments, steps = None, self.subset[::8], self.optimiser.steps
        if self.eval_seconds + self.eval_cost(segments) <= PROGRESS_EVAL_SHARE * self.budget:
            nats, count = self.evaluate(segments, self.soft_stop())
            val_bpb = round(nats / count / math.log(2), 4) if math.isfinite(nats) else None
        line = {"event": "progress", "elapsed_seconds": round(self.elapsed(), 3), "step": steps}
        loss = round(sum(self.losses) / len(self.losses), 4)
        line |= {"tokens": self.tokens_trained, "val_bpb": val_bpb, "train_loss": loss}
        print(json.dumps(line), file=sys.stderr, flush=True)

    def result(self) -> dict[str, Any]:
        """Train, evaluate, return the result line; leaves with 143 if SIGTERM left no time."""
        setup_seconds = self.elapsed()
        stop_reason = self.train()
        train_seconds = self.elapsed() - setup_seconds - self.eval_seconds
        nats, count = math.nan, 0
        if stop_reason not in ("diverged", "budget_too_small"):
            nats, count = self.final_evaluation()
            if not count and self.terminated:
                leave(143, "ended by SIGTERM before there was anything to evaluate")
            if not math.isfinite(nats):
                stop_reason = "diverged" if count else "no_time_to_evaluate"
        bpb = nats / (count * math.log(2)) if math.isfinite(nats) else None
        nll, count = (None, 0) if bpb is None else (nats, count)
        loss = sum(self.losses) / len(self.losses) if self.losses else None
        return {
            "val_bpb": bpb, "train_loss": loss, "steps_completed": self.optimiser.steps,
            "wall_time_seconds": round(self.elapsed(), 3), "device_used": self.device,
            "model_params": self.weights.numel(), "peak_memory_mb": peak_memory_mb(self.device),
            "eval_nll_nats": nll, "eval_bytes": count, "eval_tokens": count,  # a byte is a token
            "tokens_trained": self.tokens_trained, "seed": self.config["seed"],
            "dataset": self.config["dataset"], "dataset_sha256": self.config["dataset_sha256"],
            "setup_seconds": round(setup_seconds, 3), "train_seconds": round(train_seconds, 3),
            "eval_seconds": round(self.eval_seconds, 3), "threads": torch.get_num_threads(),
            "stop_reason": stop_reason, "diverged": stop_reason == "diverged",
            "dtype": str(self.dtype).removeprefix("torch."), "torch_version": torch.__version__,
        }  # fmt: skip


# --- Not about training: device and memory, config, data files, command line -------------------
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TINYSHAKESPEARE_URLS = [
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    "https://cdn.jsdelivr.net/gh/karpathy/char-rnn@master/data/tinyshakespeare/input.txt",
]

SIZES = {"n_layers", "n_heads", "d_model", "d_ff", "batch_size", "context_length"}
REQUIRED = SIZES | {"lr", "lr_schedule", "seed", "time_budget_seconds"}
PATTERNS = {  # of the texts
    "lr_schedule": "cosine|linear|step_decay",
    "device": "auto|cpu|cuda|mps",
    "dataset": "[A-Za-z0-9][A-Za-z0-9_.-]*",  # becomes part of a file name
    "dataset_sha256": "[0-9a-f]{64}",
}


def leave(code: int, message: str) -> NoReturn:
    """Print one line on stderr and exit with the code."""
    print(f"train_char_lm: {message}", file=sys.stderr)
    raise SystemExit(code)


def problem(key: str, value: Any) -> str | None:
    """Return why the value cannot be the key's; None when it can."""
    if key in {*SIZES, "max_steps", "threads"}:  # isinstance would take true for a whole number
        good, words = type(value) is int and 0 < value < 2**31, "a whole number above 0"
    elif key == "seed":
        good, words = type(value) is int and 0 <= value < 2**63, "a whole number from 0"
    elif key in {"lr", "time_budget_seconds"}:
        good, words = type(value) in (int, float) and 0 < value < 1e300, "a finite number above 0"
    elif key in PATTERNS:
        good = isinstance(value, str) and re.fullmatch(PATTERNS[key], value) is not None
        words = f"of the form {PATTERNS[key]}"
    elif key == "dataset_urls":
        good = isinstance(value, list) and all(isinstance(source, str) for source in value)
        words = "a list of addresses or file paths"
    else:
        return f"{key} is unknown"
    return None if good else f"{key} must be {words}, not {json.dumps(value)[:60]}"


def read_config(path: Path) -> dict[str, Any]:
    """Return the checked config with defaults filled in; leaves with code 2 when it is wrong."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        leave(2, f"cannot read the config file {path}: {error}")
    if not isinstance(config, dict):
        leave(2, f"the config file {path} must hold one flat JSON object")
    problems = [f"{key} is missing" for key in sorted(REQUIRED - config.keys())]
    problems += [text for key, value in config.items() if (text := problem(key, value))]
    if not problems and config["d_model"] % config["n_heads"]:
        problems.append("d_model must be divisible by n_heads")
    config = {"device": "auto", "dataset": "tinyshakespeare"} | config
    if config["dataset"] == "tinyshakespeare":
        defaults = {"dataset_sha256": TINYSHAKESPEARE_SHA256, "dataset_urls": TINYSHAKESPEARE_URLS}
        config = defaults | config
    elif "dataset_sha256" not in config:
        problems.append("dataset_sha256 is missing (only tinyshakespeare has a default)")
    if problems:
        leave(2, f"wrong config {path}: {'; '.join(problems)}")
    return dict(config)


def cache_path(name: str, sha256: str) -> Path:
    """Return the place of a data set: in XEENET_DATA_DIR, or in the user's folder for caches."""
    if chosen := os.environ.get("XEENET_DATA_DIR"):
        folder = Path(chosen)
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "xeenet"
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches" / "xeenet"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xeenet"
    return folder / f"{name}-{sha256[:12]}.txt"


def store(path: Path, data: bytes) -> None:
    """Write a cache file by atomic rename: other processes see the old one or the new, whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            Path(folder, path.name).write_bytes(data)
            Path(folder, path.name).replace(path)
    except OSError as error:  # the data is in memory: the run does not need the cache
        print(f"train_char_lm: could not cache {path}: {error}", file=sys.stderr)


def load_text(config: dict[str, Any], path: Path) -> bytes:
    """Return the verified data set from cache or sources; leaves with code 3 when there is none."""
    tried = []
    for source in [str(path), *config.get("dataset_urls", [])]:
        try:
            if source.lower().startswith(("http://", "https://")):
                with urlopen(source, timeout=DOWNLOAD_TIMEOUT) as reply:  # noqa: S310 (http only)
                    data: bytes = reply.read()
            else:
                data = Path(source).read_bytes()
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: no address
            tried.append(f"{source} ({error})")
            continue
        if hashlib.sha256(data).hexdigest() == config["dataset_sha256"]:
            if source != str(path):
                store(path, data)
            return data
        tried.append(f"{source} (other content: its sha256 differs)")
    hint = f"Put a file with sha256 {config['dataset_sha256']} at {path} (XEENET_DATA_DIR names"
    hint += " the folder), or name its place in dataset_urls."
    leave(3, f"data set {config['dataset']} is not available. Tried: {'; '.join(tried)}. {hint}")


def prepare() -> tuple[dict[str, Any], bytes, float]:
    """Read command line, config and data; return config, text and the clock's start."""
    parser = argparse.ArgumentParser(description="Train a character-level language model.")
    parser.add_argument("--config-file", type=Path, required=True, help="flat JSON object")
    parser.add_argument("--prepare", action="store_true", help="fetch and verify the data only")
    parser.add_argument("--describe", action="store_true", help="print what a step costs, as JSON")
    arguments = parser.parse_args()
    config = read_config(arguments.config_file)
    if arguments.describe:
        print(json.dumps({term: eval(text, {}, config) for term, text in DESCRIBE.items()}))  # noqa: S307
        raise SystemExit
    name, began = config["dataset"], time.monotonic()
    path = cache_path(name, config["dataset_sha256"])
    cached = path.exists()
    text = load_text(config, path)
    if len(text) - int(TRAIN_SHARE * len(text)) < 2 or len(text) < 2 * config["context_length"]:
        leave(2, f"{name} is too short for context_length {config['context_length']}")
    if arguments.prepare:
        if not path.exists():
            leave(3, f"{name} was found but could not be stored at {path}")
        leave(0, f"{name} is ready at {path}")
    return config, text, START if cached else START + time.monotonic() - began


def choose_device(wanted: str) -> tuple[str, torch.dtype]:
    """Return device and number type; leaves with code 4 when the wanted device is not here."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    device = next((name for name in here if here[name]), "cpu") if wanted == "auto" else wanted
    if not here.get(device, True):
        leave(4, f"device {device} is not available on this machine")
    native = device == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    return device, torch.bfloat16 if native else torch.float32


def peak_memory_mb(device: str) -> float | None:
    """Return the peak memory of the GPU, else of this process; None where neither is known."""
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    if sys.platform == "win32":
        return None
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


# A wrong config and missing data end the run here, before a second goes to importing torch.
PREPARED = prepare() if __name__ == "__main__" else None

try:
    import torch
    import torch.nn.functional as F  # noqa: N812 (its usual name)
    from torch import Tensor
except (ImportError, OSError) as error:  # OSError: torch is here, but one of its libraries is not
    if PREPARED is None:
        raise
    leave(4, f"{error}. This script needs PyTorch: python -m pip install torch")

if PREPARED:
    run = Run(*PREPARED)
    signal.signal(signal.SIGTERM, lambda *_: setattr(run, "terminated", True))
    print(json.dumps(run.result(), allow_nan=False), flush=True)
    os._exit(0)  # a normal exit would cost another second
