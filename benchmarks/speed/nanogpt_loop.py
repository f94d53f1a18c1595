"""A plain GPT-2 training loop, as the published recipe of nanoGPT describes it, for its speed.

    python nanogpt_loop.py CONFIG.json

Written anew from the recipe: pre-norm blocks with LayerNorm, causal self-attention in one
projection, a GELU layer four times as wide, learned positions, the head tied to the embedding, no
biases, no dropout; AdamW with decay on matrices only, gradients clipped at 1, a cosine with
warm-up. The config has the shape, `seconds`, `threads`, `seed`, `dataset_file` and `dtype`:
"float32", or "bfloat16" by autocast. Prints one JSON line: tokens, seconds, and the last loss in
nats.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

LR, MIN_LR_SHARE, WARM_UP_STEPS, DECAY_STEPS = 1e-3, 0.1, 100, 2_000
# Steps before the clock starts: memory and kernels are made ready.
UNTIMED_STEPS = 3


class Block(nn.Module):
    """Attention and feed-forward layer, each added to what comes in."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm_1(x)).split(width, dim=2)
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class GPT(nn.Module):
    """The decoder-only transformer."""

    def __init__(self, vocabulary: int, config: dict[str, int]) -> None:
        super().__init__()
        width, layers = config["d_model"], config["n_layers"]
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(config["context_length"], width)
        self.blocks = nn.ModuleList(
            Block(width, config["n_heads"], config["d_ff"]) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                residual = name.endswith(("out.weight", "down.weight"))
                std = 0.02 / math.sqrt(2 * layers) if residual else 0.02
                nn.init.normal_(weight, std=std)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hidden = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        for block in self.blocks:
            hidden = block(hidden)
        logits = self.norm(hidden) @ self.tokens.weight.T
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def learning_rate(step: int) -> float:
    """Return the rate: up in a line, then down along a cosine."""
    if step < WARM_UP_STEPS:
        return LR * (step + 1) / WARM_UP_STEPS
    share = min(1.0, (step - WARM_UP_STEPS) / (DECAY_STEPS - WARM_UP_STEPS))
    return LR * (MIN_LR_SHARE + (1 - MIN_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * share)))


def main() -> None:
    """Train for the config's seconds and print what was done."""
    config = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(config["threads"])
    torch.manual_seed(config["seed"])
    text = Path(config["dataset_file"]).read_bytes()
    kinds = sorted(set(text))
    place = {byte: number for number, byte in enumerate(kinds)}
    data = torch.tensor([place[byte] for byte in text[: int(0.9 * len(text))]])
    model = GPT(len(kinds), config)
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.99))
    batch, length = config["batch_size"], config["context_length"]
    low = torch.bfloat16 if config["dtype"] == "bfloat16" else torch.float32
    step, began, loss = 0, time.perf_counter(), torch.zeros(())
    while True:
        if step == UNTIMED_STEPS:
            began = time.perf_counter()
        if step > UNTIMED_STEPS and time.perf_counter() - began >= config["seconds"]:
            break
        starts = torch.randint(len(data) - length, (batch,))
        x = torch.stack([data[start : start + length] for start in starts])
        y = torch.stack([data[start + 1 : start + 1 + length] for start in starts])
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step)
        with torch.autocast("cpu", dtype=low, enabled=low != torch.float32):
            loss = model(x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
    done = (step - UNTIMED_STEPS) * batch * length
    seconds = time.perf_counter() - began
    print(json.dumps({"tokens": done, "seconds": seconds, "loss": loss.item()}))


if __name__ == "__main__":
    main()
