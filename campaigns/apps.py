"""App configuration of the campaigns app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class CampaignsConfig(AppConfig):
    """The campaigns app; migrating a database installs the schedules of the background jobs.

    The pages of workers, which lie below, learn from it where a worker's runs stand.
    """

    name = "campaigns"
    verbose_name = "Campaigns"

    def ready(self) -> None:
        from campaigns.jobs import install_schedules
        from campaigns.views import run_places as of_campaigns
        from workers import run_places

        run_places.register(of_campaigns.places_of)
        post_migrate.connect(install_schedules, sender=self)
