"""WSGI entry point."""

import gc
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from xeenet_site.front_door import FrontDoor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "xeenet_site.settings")

application = FrontDoor(get_wsgi_application(), settings.BASE_PATH)

# It imports models, which the line above has loaded.
from campaigns.lifecycle import noting  # noqa: E402

noting.start()

# Exclude all objects loaded so far from garbage collection: they stay for good. Otherwise each full
# collection scans all modules again, which delays one page in some dozens by a tenth of a second.
gc.collect()
gc.freeze()
