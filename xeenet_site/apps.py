"""App configuration of the project itself: it brings the system checks."""

from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class XeenetSiteConfig(AppConfig):
    """Registers the system checks, and frees migrations of the limits on statements."""

    name = "xeenet_site"
    verbose_name = "XeeNet"

    def ready(self) -> None:
        from xeenet_site import checks  # noqa: F401 - registers the checks
        from xeenet_site.databases import lift_limits

        pre_migrate.connect(lift_limits, sender=self)
