"""The errors that the verbs raise; the docstring of a class is its default message."""

from __future__ import annotations

import inspect


class LifecycleError(Exception):
    """The lifecycle refuses this."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or inspect.getdoc(type(self)))


class InvalidCampaign(LifecycleError):
    """The description of the campaign is wrong.

    `errors` maps each field to its sentences.
    """

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{field}: {' '.join(e)}" for field, e in errors.items()))


class WrongState(LifecycleError):
    """The row is not in a state that allows this verb (or just left it)."""


class LeaseUnknown(LifecycleError):
    """This worker holds no lease of this id; check the token and the id."""


class LeaseLost(LifecycleError):
    """The lease has ended; stop the script. A finished result may be sent."""


class ResultConflict(LifecycleError):
    """A different result is stored for this lease already; it stays."""
