"""A stand-in training script that keeps the contract of `experiments/` but does not train.

Standard library only, one file. The parameter ``behaviour`` says what it does:

- ``good``: sleep for ``work_seconds``, print the result line
- ``crash``: exit with status 1, without a result
- ``wait``: create a file ``waiting`` in the data folder, wait until the file ``gate`` exists, and
  print the result line
"""

import json
import math
import os
import random
import sys
import time
from pathlib import Path


def main() -> None:
    """Read the config, do as it says, and print the result line."""
    started_at = time.monotonic()
    config = json.loads(Path(sys.argv[sys.argv.index("--config-file") + 1]).read_text())
    name = f"{config['dataset']}-{config['dataset_sha256'][:12]}.txt"
    text = Path(os.environ["XEENET_DATA_DIR"]) / name
    behaviour = config.get("behaviour", "good")
    if behaviour == "crash":
        sys.exit("this script crashes, as its config says")
    if behaviour == "wait":
        text.with_name("waiting").touch()
        while not Path(config["gate"]).exists():
            time.sleep(0.02)
    time.sleep(config.get("work_seconds", 0.0))
    size = text.stat().st_size
    eval_bytes = size - int(0.9 * size) - 1
    nats = random.Random(config["seed"]).uniform(1.5, 2.5) * eval_bytes
    line = {
        "val_bpb": nats / (eval_bytes * math.log(2.0)),
        "train_loss": 2.0,
        "steps_completed": 10,
        # The server believes no run that took less than a millisecond.
        "wall_time_seconds": max(0.002, time.monotonic() - started_at),
        "device_used": "cpu",
        "model_params": 1_000,
        "eval_nll_nats": nats,
        "eval_bytes": eval_bytes,
        "eval_tokens": eval_bytes,
        "dataset": config["dataset"],
        "dataset_sha256": config["dataset_sha256"],
        "tokens_trained": 1_000,
        "seed": config["seed"],
        "stop_reason": "max_steps",
        "torch_version": "0",
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
