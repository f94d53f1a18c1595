"""A database for a command that measures the server: made, filled in one transaction, dropped."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import transaction
from django.test.utils import setup_databases, setup_test_environment, teardown_databases


@contextmanager
def own_database() -> Iterator[None]:
    """Run the block in a transaction that is rolled back, on a new database without rows.

    Which kind decides ``XEENET_TEST_DATABASE_URL``, as it does for the tests. Files that the block
    stores go to a temporary folder.
    """
    setup_test_environment()
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        with tempfile.TemporaryDirectory() as folder, transaction.atomic():
            settings.MEDIA_ROOT = folder
            yield
            transaction.set_rollback(True)
    finally:
        teardown_databases(databases, verbosity=0)
