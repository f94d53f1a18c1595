"""App configuration of the workers app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class WorkersConfig(AppConfig):
    """The workers app; after each migration it creates the groups that serve as people's roles."""

    name = "workers"
    verbose_name = "Workers"

    def ready(self) -> None:
        from xeenet_site.web.roles import install_roles

        post_migrate.connect(install_roles, sender=self)
