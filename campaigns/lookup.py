"""Finding the campaign, the task and the person that a command line means."""

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from campaigns.models import Campaign, Task


def campaign_or_error(number: int | None) -> Campaign:
    """Return the campaign of this number, the newest without one. Raises CommandError."""
    campaigns = Campaign.objects.select_related("dataset")
    campaign = campaigns.filter(pk=number).first() if number else campaigns.first()
    if campaign is None and number:
        raise CommandError(f"There is no campaign {number}.")
    if campaign is None:
        raise CommandError("There is no campaign yet; make one with: manage.py create_campaign")
    return campaign


def task_or_error(number: int) -> Task:
    """Return the task whose address has this number. Raises CommandError."""
    task = Task.objects.select_related("campaign").filter(pk=number).first()
    if task is None:
        raise CommandError(f"There is no task {number}.")
    return task


def user_or_error(username: str) -> User:
    """Return the person of this name. Raises CommandError."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(
            f"There is no user {username!r}; make one with: manage.py createsuperuser"
        )
    return user
