"""A budget of steps, so that the work on a search space has a bound that no clock decides. Pure.

One step is one value drawn, or one node of a constraint evaluated. The same space always takes the
same steps, so a space is accepted or refused the same way on every machine.
"""

from __future__ import annotations

from typing import Final

# Drawing one point: under a second. A space of ten parameters with a few short constraints takes
# fewer for 10,000 rejected draws.
DRAW_STEPS: Final = 2_000_000
# The draws of one preview together.
PREVIEW_STEPS: Final = 2 * DRAW_STEPS
# Walking through all points of a grid.
GRID_STEPS: Final = 5_000_000
# The points that a survey looks at.
SURVEY_STEPS: Final = 1_000_000
# All tasks that one launch, or one call for more tasks, draws.
LAUNCH_STEPS: Final = 50_000_000
# One slice of them that a background job draws: a second or two, and more than any one draw.
SLICE_STEPS: Final = 2 * DRAW_STEPS


class StepsSpent(Exception):
    """The budget does not pay for the next steps."""


class Steps:
    """A number of steps that several pieces of work share."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit

    @property
    def used(self) -> int:
        """How many steps have been taken."""
        return self.limit - self.left

    def take(self, count: int) -> None:
        """Take so many steps. Raises StepsSpent when fewer are left."""
        if count > self.left:
            raise StepsSpent
        self.left -= count
