"""App configuration of the project itself."""

from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class XeenetSiteConfig(AppConfig):
    """Registers the system checks; lifts the database's statement limits during migrations."""

    name = "xeenet_site"
    verbose_name = "XeeNet"

    def ready(self) -> None:
        from xeenet_site import checks  # noqa: F401 - registers the checks
        from xeenet_site.databases import lift_limits

        pre_migrate.connect(lift_limits, sender=self)
