"""App configuration of the project itself: it brings the system checks."""

from django.apps import AppConfig


class XeenetSiteConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "xeenet_site"
    verbose_name = "XeeNet"

    def ready(self) -> None:
        from xeenet_site import checks  # noqa: F401 - registers the checks
