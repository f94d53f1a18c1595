"""WSGI entry point."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "xeenet_site.settings")

application = get_wsgi_application()

# What is loaded now stays: without this every full collection looks through all modules again,
# and one page in some dozens takes a tenth of a second longer.
gc.collect()
gc.freeze()
