"""What the verbs refuse, one class per meaning; the text of the error is for people."""

from __future__ import annotations


class LifecycleError(Exception):
    """Base of every refusal."""


class InvalidCampaign(LifecycleError):
    """The description of a campaign is wrong; `errors` maps each field to its sentences."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{field}: {' '.join(e)}" for field, e in errors.items()))


class WrongState(LifecycleError):
    """The row is not in a state that allows this verb (or just left it)."""


class LeaseUnknown(LifecycleError):
    """This worker never held a lease of this id."""

    def __init__(self) -> None:
        super().__init__("This worker holds no lease of this id; check the token and the id.")


class LeaseLost(LifecycleError):
    """The lease was this worker's, and is no more: it ran out, or the task was decided."""

    def __init__(
        self, message: str = "The lease has ended; stop the script. A finished result may be sent."
    ) -> None:
        super().__init__(message)


class ResultConflict(LifecycleError):
    """Another body was submitted for this lease before; the first one stays."""

    def __init__(self) -> None:
        super().__init__("A different result is stored for this lease already; it stays.")
