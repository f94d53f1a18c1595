"""What a campaign pins by hash: the script and the data set."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from campaigns.models.states import HEX_SHA256_LENGTH


class Package(models.Model):
    """A training script as it was when a campaign pinned it, found by its hash."""

    sha256 = models.CharField(primary_key=True, max_length=HEX_SHA256_LENGTH)
    name = models.CharField(max_length=100)
    source = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"


class Dataset(models.Model):
    """A data set the server knows by hash; the bytes are in `file` when it can serve them."""

    sha256 = models.CharField(primary_key=True, max_length=HEX_SHA256_LENGTH)
    name = models.CharField(max_length=100)
    size_bytes = models.PositiveBigIntegerField(validators=[MinValueValidator(2)])
    file = models.FileField(upload_to="datasets/", blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"
