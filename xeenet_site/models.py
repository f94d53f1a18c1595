"""Sign-in tries, kept in the database so that all web servers share one count."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class SignInTry(models.Model):
    """One sign-in try for a name from an address. Deleted when a try succeeds or it is old."""

    # Hashed, because people sometimes type their password into the name field.
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
