"""Bits per byte of n-gram models: the reference values that the catalog gives for val_bpb.

    python benchmarks/ngram_anchors.py FILE

Interpolated Witten-Bell models are fitted on the first 90 % of the bytes and scored on the last
10 %, the same split as in train_char_lm.py. Other smoothing methods differ by about 0.01.
"""

import argparse
import math
from collections import Counter
from pathlib import Path

ORDERS = {"bigram": 2, "trigram": 3, "5-gram": 5}


def bits_per_byte(data: bytes, order: int) -> float:
    """Return the validation bits per byte of the n-gram model of this order."""
    split = int(0.9 * len(data))
    train, validation = data[:split], data[split:]
    counts = [Counter(train[i - n : i + 1] for i in range(n, len(train))) for n in range(order)]
    followers = [Counter(gram[:-1] for gram in grams) for grams in counts]
    totals: list[Counter[bytes]] = [Counter() for _ in range(order)]
    for total, grams in zip(totals, counts, strict=True):
        for gram, count in grams.items():
            total[gram[:-1]] += count
    bits = 0.0
    for i in range(1, len(validation)):
        probability = 1 / 256
        for n in range(min(order, i + 1)):
            history = validation[i - n : i]
            if not totals[n][history]:
                break
            kinds = followers[n][history]
            seen = counts[n][validation[i - n : i + 1]]
            probability = (seen + kinds * probability) / (totals[n][history] + kinds)
        bits -= math.log2(probability)
    return bits / (len(validation) - 1)


def main() -> None:
    """Print one line per order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    data = parser.parse_args().file.read_bytes()
    for name, order in ORDERS.items():
        print(f"{name:8s} {bits_per_byte(data, order):.2f} bits per byte")


if __name__ == "__main__":
    main()
