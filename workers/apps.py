"""App configuration of the workers app."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    """The workers app."""

    name = "workers"
    verbose_name = "Workers"
