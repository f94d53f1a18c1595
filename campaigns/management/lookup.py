"""What commands share: look-ups with a CommandError, and the report of refused changes."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from campaigns.lifecycle import InvalidCampaign, LifecycleError
from campaigns.models import HEX_SHA256_LENGTH, Campaign, Package, Task, TaskName
from xeenet_site.web.plain_text import plain

# A shorter beginning of a hash may easily match two scripts.
_FEWEST_LETTERS = 8


@contextmanager
def say_what_is_refused() -> Iterator[None]:
    """Turn errors of `lifecycle` into a CommandError, with a line for each invalid field."""
    try:
        yield
    except InvalidCampaign as error:
        lines = [f"  {field}: {' '.join(texts)}" for field, texts in error.errors.items()]
        raise CommandError("It was refused:\n" + "\n".join(lines)) from error
    except LifecycleError as error:
        raise CommandError(str(error)) from error


def campaign_or_error(number: int | None) -> Campaign:
    """Return the campaign with this number, or the newest for None. Raises CommandError."""
    campaigns = Campaign.objects.select_related("dataset")
    # Compare with None: 0 is a number too, and must not select the newest campaign by mistake.
    campaign = campaigns.first() if number is None else campaigns.filter(pk=number).first()
    if campaign is None and number is not None:
        raise CommandError(f"There is no campaign {number}.")
    if campaign is None:
        raise CommandError("There is no campaign yet; make one with: manage.py create_campaign")
    return campaign


def task_or_error(name: TaskName) -> Task:
    """Return the task with this name. Raises CommandError."""
    task = Task.objects.select_related("campaign").named([name]).first()
    if task is None:
        raise CommandError(f"There is no task {name}.")
    return task


def task_name(text: str) -> TaskName:
    """Read a task's name from the command line, as a type of argparse."""
    try:
        return TaskName.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(plain(str(error))) from error


def script_or_error(sha256: str) -> Package:
    """Return the script whose hash begins with `sha256`. Raises CommandError."""
    if not _FEWEST_LETTERS <= len(sha256) <= HEX_SHA256_LENGTH:
        raise CommandError(f"Give the script's hash, or at least its first {_FEWEST_LETTERS}.")
    packages = list(Package.objects.filter(sha256__startswith=sha256.lower())[:2])
    if len(packages) != 1:
        how = (
            "There is more than one script whose hash begins"
            if packages
            else "There is no script whose hash begins"
        )
        raise CommandError(f"{how} with {plain(sha256)}. Upload it first, or see: script list")
    return packages[0]


def user_or_error(username: str) -> User:
    """Return the person with this user name. Raises CommandError."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(
            f"There is no user {username!r}; make one with: manage.py createsuperuser"
        )
    return user
