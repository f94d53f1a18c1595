"""Seeded generators of experiment configurations. Pure standard library.

A generator is a fixed sequence of draws from ``random.Random(seed)``: the same seed gives the
same configuration on every platform and Python version. The order of the draws is part of the
contract, because changing it changes every configuration ever published by its seed.
"""

import math
import random

CharLMConfig = dict[str, float | int | str]


class CharLMConfigGenerator:
    """Random points of the search space of ``train_char_lm.py``.

    ``catalog.get("train_char_lm").default_search_space`` is the same space written as data.
    """

    LR_LOW = 1e-4
    LR_HIGH = 1e-2
    D_MODEL = (64, 128, 256)
    N_HEADS = (2, 4)
    LR_SCHEDULE = ("cosine", "linear", "step_decay")
    N_LAYERS = (2, 4, 6)
    D_FF = (256, 512)
    BATCH_SIZE = (32, 64, 128)
    CONTEXT_LENGTH = (128, 256)

    def generate(self, seed: int) -> CharLMConfig:
        """Return the configuration that belongs to ``seed``, its keys in drawing order."""
        rng = random.Random(seed)
        # Six decimals hide the last-digit differences between the platforms' exp and log.
        lr = round(math.exp(rng.uniform(math.log(self.LR_LOW), math.log(self.LR_HIGH))), 6)
        d_model = rng.choice(self.D_MODEL)
        n_heads = rng.choice([n for n in self.N_HEADS if d_model % n == 0])
        return {
            "lr": lr,
            "d_model": d_model,
            "n_heads": n_heads,
            "lr_schedule": rng.choice(self.LR_SCHEDULE),
            "n_layers": rng.choice(self.N_LAYERS),
            "d_ff": rng.choice(self.D_FF),
            "batch_size": rng.choice(self.BATCH_SIZE),
            "context_length": rng.choice(self.CONTEXT_LENGTH),
        }
