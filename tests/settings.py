"""The product's settings, changed for tests.

The database is an SQLite file, which threads and processes can share as in production, or the
PostgreSQL server in ``XEENET_TEST_DATABASE_URL``. ``XEENET_HOME`` is a temporary folder that is
removed with this process, so tests never touch the developer's own installation.

With pytest's ``--reuse-db``, ``XEENET_TEST_MIGRATED`` names an SQLite file to begin with, which has
all migrations: they take longer than many a test.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_HOME = Path(tempfile.mkdtemp(prefix="xeenet-test-"))
_MIGRATED = os.environ.get("XEENET_TEST_MIGRATED", "")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

# Set these before the import below, where the product's settings read the environment. They take
# precedence over a developer's .env file.
os.environ["XEENET_ENV"] = "development"
os.environ["DEBUG"] = "false"
os.environ["XEENET_HOME"] = str(_HOME)
os.environ["DATABASE_URL"] = os.environ.get(
    "XEENET_TEST_DATABASE_URL", f"sqlite:///{_HOME / 'development.sqlite3'}"
)

from xeenet_site.settings import *  # noqa: E402, F403
from xeenet_site.settings import DATABASES, STATIC_ROOT, STORAGES  # noqa: E402

STATIC_ROOT.mkdir()  # WhiteNoise warns about a missing folder, and warnings are errors

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Without a name, Django would use an in-memory database, whose locking differs from a file's.
    DATABASES["default"]["TEST"] = {"NAME": str(_HOME / "test.sqlite3")}
    if _MIGRATED:
        shutil.copyfile(_MIGRATED, _HOME / "test.sqlite3")
else:
    # On a machine with all cores busy, a new server process took longer than the product waits.
    DATABASES["default"]["OPTIONS"]["connect_timeout"] = 15

# Slow password hashes would only slow down the tests.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# The production storage needs a manifest made by collectstatic, which tests do not run.
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
