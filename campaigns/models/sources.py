"""What a campaign pins by hash: the script and the data set."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from campaigns.models.states import (
    HEX_SHA256_LENGTH,
    LEAST_BOUND_BPB,
    MAX_REASON_LENGTH,
    PLAUSIBLE_SHARE,
    PackageOrigin,
)


class Package(models.Model):
    """A training script by its hash: as a campaign pinned it, or as a researcher uploaded it."""

    sha256 = models.CharField(primary_key=True, max_length=HEX_SHA256_LENGTH)
    name = models.CharField(max_length=100)
    source = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    origin = models.CharField(
        max_length=16, choices=PackageOrigin, default=PackageOrigin.BUILTIN, editable=False
    )
    # The catalog's experiment that an uploaded script is a variation of; "" for the catalog's own.
    experiment = models.CharField(max_length=100, blank=True)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # An approval is for exactly these bytes: their hash is the key, and no code changes them.
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    # Set when an operator declines the script or withdraws its approval; cleared by an approval.
    declined_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    declined_at = models.DateTimeField(null=True, blank=True)
    declined_reason = models.CharField(max_length=MAX_REASON_LENGTH, blank=True)
    # When `check_experiment` last found that an uploaded script gives the same values in a process
    # that has imported torch before; null when it did not, or was not run.
    warm_checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="package_judged_one_way",
                condition=Q(approved_at__isnull=True) | Q(declined_at__isnull=True),
            ),
            models.CheckConstraint(
                name="package_origin_known", condition=Q(origin__in=PackageOrigin.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"

    def get_absolute_url(self) -> str:
        return reverse("script", args=[self.sha256])

    @property
    def is_uploaded(self) -> bool:
        """Whether a person uploaded it; the catalog's scripts need no approval."""
        return self.origin == PackageOrigin.UPLOADED

    @property
    def may_run(self) -> bool:
        """Whether the server may hand it out to workers."""
        return not self.is_uploaded or self.approved_at is not None

    @property
    def starts_warm(self) -> bool:
        """Whether agents may run it in a process that has imported torch before."""
        return not self.is_uploaded or self.warm_checked_at is not None

    @property
    def standing(self) -> str:
        """Whether operators have approved or declined it, in the words of pages and commands."""
        if self.may_run:
            return "approved"
        return "declined" if self.declined_at is not None else "waits for approval"


class Dataset(models.Model):
    """A data set the server knows by hash; the bytes are in `file` when it can serve them."""

    sha256 = models.CharField(primary_key=True, max_length=HEX_SHA256_LENGTH)
    name = models.CharField(max_length=100)
    size_bytes = models.PositiveBigIntegerField(validators=[MinValueValidator(2)])
    file = models.FileField(upload_to="datasets/", blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    # Bits per byte of the validation part for lzma that has seen the training part; None before
    # `measured_at`, or when the server has no way to tell.
    compressed_bpb = models.FloatField(null=True, blank=True, editable=False)
    measured_at = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"

    @property
    def least_plausible_bpb(self) -> float | None:
        """The bits per byte below which a result is implausible; None where there is no bound."""
        bound = PLAUSIBLE_SHARE * (self.compressed_bpb or 0.0)
        return bound if bound >= LEAST_BOUND_BPB else None
