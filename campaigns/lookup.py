"""Finding the campaign that a command line means."""

from django.core.management.base import CommandError

from campaigns.models import Campaign


def campaign_or_error(number: int | None) -> Campaign:
    """Return the campaign of this number, the newest without one. Raises CommandError."""
    campaigns = Campaign.objects.select_related("dataset")
    campaign = campaigns.filter(pk=number).first() if number else campaigns.first()
    if campaign is None and number:
        raise CommandError(f"There is no campaign {number}.")
    if campaign is None:
        raise CommandError("There is no campaign yet; make one with: manage.py create_campaign")
    return campaign
