"""A temporary database for commands that test the server outside pytest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import transaction
from django.test.utils import setup_databases, setup_test_environment, teardown_databases


@contextmanager
def own_database() -> Iterator[None]:
    """Run the block in a transaction on a new, empty database; roll it back and drop the database.

    ``XEENET_TEST_DATABASE_URL`` decides the kind of database, as for the tests. Files that the
    block stores go to a temporary folder.
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
