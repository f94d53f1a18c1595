"""App configuration of the project itself."""

from typing import Final, cast

from django.apps import AppConfig, apps
from django.db.models.signals import pre_migrate

# Large files that no page uses: Plotly's bundle for notebooks, a second reader of API documents,
# the other weights of the fixed-width font. Compressing them took most of the first start.
_UNUSED_STATIC_FILES: Final = ("widgetbundle.js", "redoc", "IBMPlexMono-[!R]*")


class XeenetSiteConfig(AppConfig):
    """Registers the system checks, lifts statement limits in migrations, trims static files."""

    name = "xeenet_site"
    verbose_name = "XeeNet"

    def ready(self) -> None:
        # Here, because Django takes no AppConfig of a module that holds two.
        from django.contrib.staticfiles.apps import StaticFilesConfig

        from xeenet_site import checks  # noqa: F401 - registers the checks
        from xeenet_site.databases import lift_limits

        pre_migrate.connect(lift_limits, sender=self)
        # Not a StaticFilesConfig of our own: test servers look for Django's name among the apps.
        static_files = cast(StaticFilesConfig, apps.get_app_config("staticfiles"))
        static_files.ignore_patterns = [*static_files.ignore_patterns, *_UNUSED_STATIC_FILES]
