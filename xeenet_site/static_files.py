"""Which static files of installed packages are collected and served."""

from typing import Final

from django.contrib.staticfiles.apps import StaticFilesConfig

# Large files that no page uses: Plotly's bundle for notebooks, a second reader of API documents.
# Compressing them took most of the first start.
_UNUSED: Final = ("widgetbundle.js", "redoc")


class XeenetStaticFilesConfig(StaticFilesConfig):
    """Django's static files without the ones that no page uses."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, *_UNUSED]  # noqa: RUF012 - as Django's
