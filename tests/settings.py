"""The product's settings, narrowed for tests.

The database is SQLite in a file (threads and processes share it, as in production) or, when
``XEENET_TEST_DATABASE_URL`` is set, PostgreSQL. Nothing of the developer's own installation is
touched: ``XEENET_HOME`` is a temporary folder that goes away with this process.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_HOME = Path(tempfile.mkdtemp(prefix="xeenet-test-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

# Before the import below: the product's settings read the environment once. What is set here wins
# over a developer's .env file.
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
    # Without a name Django would take a database in memory, which locks unlike a file.
    DATABASES["default"]["TEST"] = {"NAME": str(_HOME / "test.sqlite3")}

# A slow hash protects people's passwords; test users have none worth protecting.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# The manifest that the production storage reads is made by collectstatic, which tests do not run.
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
