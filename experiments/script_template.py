"""Template of a training script: replace model and training by your own, keep the rest.

Try every change with `manage.py check_experiment FILE`; the contract is in docs/scripts.md.
"""

import time

START = time.monotonic()  # the first line: the budget counts from here

import argparse
import hashlib
import json
import math
import os
import signal
import sys
from pathlib import Path

# The params of the search space, and what the server adds. Any other key is an error.
NEEDED = {"lr", "lr_schedule", "n_layers", "n_heads", "d_model", "d_ff", "batch_size"}
NEEDED |= {"context_length", "seed", "time_budget_seconds", "dataset", "dataset_sha256"}
OPTIONAL = {"max_steps", "threads", "device", "dataset_urls"}
# What a step costs. May be left out; campaigns then take steps, tokens or a time budget.
DESCRIBE = {"gflop": "6e-9 * batch_size * context_length * d_ff * (8 * d_model + 256)"}

parser = argparse.ArgumentParser()
parser.add_argument("--config-file", type=Path, required=True)
for option in ("--describe", "--prepare"):
    parser.add_argument(option, action="store_true")
arguments = parser.parse_args()
config = json.loads(arguments.config_file.read_text(encoding="utf-8"))
if wrong := (set(config) - NEEDED - OPTIONAL) | (NEEDED - set(config)):
    print("unknown or missing keys:", ", ".join(sorted(wrong)), file=sys.stderr)
    sys.exit(2)
if arguments.describe:
    print(json.dumps({term: eval(text, {}, config) for term, text in DESCRIBE.items()}))
    sys.exit()
name = f"{config['dataset']}-{config['dataset_sha256'][:12]}.txt"
file = Path(os.environ.get("XEENET_DATA_DIR", "."), name)
text = file.read_bytes() if file.exists() else b""
if hashlib.sha256(text).hexdigest() != config["dataset_sha256"]:
    print(f"the data set is not at {file}", file=sys.stderr)
    sys.exit(3)
if arguments.prepare:
    sys.exit()
terminated: list[bool] = []  # SIGTERM: end the training, evaluate and print
signal.signal(signal.SIGTERM, lambda *_: terminated.append(True))

import torch  # after the checks, which need none of its seconds
import torch.nn.functional as F

if config.get("device", "auto") not in ("auto", "cpu"):
    print("this template computes on the CPU only", file=sys.stderr)
    sys.exit(4)
torch.set_num_threads(config.get("threads") or torch.get_num_threads())
torch.manual_seed(config["seed"])  # the same seed and config must mean the same run
context, budget = config["context_length"], config["time_budget_seconds"]
max_steps = config.get("max_steps", math.inf)
tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
train, validation = tokens.tensor_split([int(0.9 * len(tokens))])  # never train on the rest


# --- Yours: the model. (batch, time) bytes -> (batch, time, 256) logits ---
class Model(torch.nn.Module):
    """Predicts a byte from the 8 before it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(256, config["d_model"])
        self.hidden = torch.nn.Linear(8 * config["d_model"], config["d_ff"])
        self.head = torch.nn.Linear(config["d_ff"], 256, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.embed(F.pad(x, (7, 0)).unfold(1, 8, 1)).flatten(2)
        return F.linear(F.relu(self.hidden(seen)), self.head.weight)


@torch.no_grad()
def evaluate(part: torch.Tensor) -> float:
    """Return the nats of predicting every byte of a part but its first, in windows."""
    pad, nats = -(len(part) - 1) % context, 0.0
    x = F.pad(part[:-1], (0, pad)).view(-1, context).split(64)
    y = F.pad(part[1:], (0, pad), value=-100).view(-1, context).split(64)  # -100 counts nothing
    for seen, following in zip(x, y, strict=True):
        logits = model(seen).flatten(0, 1)
        nats += F.cross_entropy(logits, following.flatten(), reduction="sum").item()
    return nats


# --- Yours: the training. It ends at 90 % of the budget, earlier where the evaluation is long ---
model = Model()
# Adam in four lines: importing torch.optim costs seconds of the budget.
state = [(each, torch.zeros_like(each), torch.zeros_like(each)) for each in model.parameters()]
began, steps, loss = time.monotonic(), 0, torch.tensor(math.nan)
evaluate(validation[: len(validation) // 10])  # tells how long the final evaluation will take
stop = START + min(0.9 * budget, 0.97 * budget - 15 * (time.monotonic() - began) - 0.3)
while steps < max_steps and time.monotonic() < stop and not terminated:
    starts = torch.randint(len(train) - context, (config["batch_size"], 1))
    batch = train[starts + torch.arange(context + 1)]
    loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
    gradients = torch.autograd.grad(loss, [weights for weights, _, _ in state])
    for (weights, mean, square), gradient in zip(state, gradients, strict=True):
        mean.lerp_(gradient, 0.1)
        square.lerp_(gradient * gradient, 0.05)
        weights.data -= config["lr"] * mean / (square.sqrt() + 1e-8)
    steps += 1
# --- The result: one JSON line on stdout. The server computes val_bpb again ---
nats = evaluate(validation) if steps else math.nan
count = len(validation) - 1 if math.isfinite(nats) else 0
reason = "max_steps" if steps == max_steps else "terminated" if terminated else "time_budget"
print(json.dumps({
    "val_bpb": nats / (count * math.log(2)) if count else None, "seed": config["seed"],
    "eval_nll_nats": nats if count else None, "eval_bytes": count, "eval_tokens": count,
    "train_loss": loss.item() if count else None, "diverged": steps > 0 and not count,
    "steps_completed": steps, "tokens_trained": steps * config["batch_size"] * context,
    "model_params": sum(weights.numel() for weights, _, _ in state),
    "stop_reason": reason if steps else "budget_too_small", "device_used": "cpu",
    "dataset_sha256": config["dataset_sha256"], "wall_time_seconds": time.monotonic() - START,
}), flush=True)  # fmt: skip
os._exit(0)  # a normal end takes another second with torch
