"""How long a step of a config takes on a machine, and how many steps a budget is. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.work.describe import Description, InfeasibleCost

# With fewer steps nothing is learned, and warm-up is all there is.
FEWEST_STEPS: Final = 2
# The guard of a work budget: so many times the expected time, in these bounds (seconds).
GUARD_FACTOR: Final = 10.0
SHORTEST_GUARD: Final = 30.0


@dataclass(frozen=True)
class CostModel:
    """Seconds per unit of each term of a script's description, on one machine.

    `reference` names the machine, `worker` is its id (None: recorded in the catalog), `taken_at`
    is when it was calibrated, as text.
    """

    coefficients: Mapping[str, float] = field(hash=False)
    reference: str
    worker: int | None = None
    taken_at: str = ""

    def step_seconds(self, description: Description, params: Mapping[str, Any]) -> float:
        """Return the seconds of one step of the config.

        Raises InfeasibleCost when they are not finite or not above 0.
        """
        amounts = description.amounts(params)
        seconds = sum(self.coefficients.get(name, 0.0) * amount for name, amount in amounts.items())
        if not (math.isfinite(seconds) and seconds > 0):
            raise InfeasibleCost(f"a step would cost {seconds:g} s")
        return seconds

    def fits(self, description: Description) -> bool:
        """Return whether it has a coefficient for every term of the description."""
        return description.terms.keys() <= self.coefficients.keys()

    @property
    def origin(self) -> str:
        """Whose speed it is, in words: a calibrated worker, or the machine of the catalog."""
        if self.worker is None:
            return f"the catalog's machine ({self.reference})"
        return f"{self.reference}, calibrated {self.taken_at[:16].replace('T', ' ')}"

    @property
    def sha256(self) -> str:
        """The hash of the coefficients: equal hashes give every config equal steps."""
        text = json.dumps(dict(self.coefficients), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, for storage."""
        return {
            "coefficients": dict(self.coefficients),
            "reference": self.reference,
            "worker": self.worker,
            "taken_at": self.taken_at,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> CostModel:
        """Return the model that `to_json` wrote."""
        return cls(**fields)


def steps_of(seconds: float, step_seconds: float) -> int:
    """Return how many steps are so many seconds of work, at least `FEWEST_STEPS`."""
    return max(FEWEST_STEPS, round(seconds / step_seconds))


def guard_seconds(expected_seconds: float, *, longest: float) -> float:
    """Return after which time a run of this expected time is too slow, at most `longest`."""
    return min(longest, max(SHORTEST_GUARD, GUARD_FACTOR * expected_seconds))
