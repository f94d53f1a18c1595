"""App configuration of the campaigns app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class CampaignsConfig(AppConfig):
    """The campaigns app; migrating a database installs the schedules of the background jobs."""

    name = "campaigns"
    verbose_name = "Campaigns"

    def ready(self) -> None:
        from campaigns.jobs import install_schedules

        post_migrate.connect(install_schedules, sender=self)
