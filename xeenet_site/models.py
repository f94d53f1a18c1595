"""Tries to sign in, in the database, so that all web servers count together."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class SignInTry(models.Model):
    """One try for a name from an address; it goes away when it succeeds or is old."""

    # SHA-256: people type passwords into the wrong field.
    name_sha256 = models.CharField(max_length=64)
    address = models.CharField(max_length=64)
    at = models.DateTimeField(db_index=True)

    class Meta:
        ordering: ClassVar = ["at"]
        verbose_name_plural = "sign-in tries"
        indexes: ClassVar = [
            models.Index(fields=["address", "name_sha256", "at"], name="sign_in_by_caller"),
        ]

    def __str__(self) -> str:
        return f"try from {self.address} at {self.at:%Y-%m-%d %H:%M:%S}"
