"""Signing in, with a limit on guessing: too many wrong passwords lock a name from an address.

A try is recorded before its password is checked, so concurrent tries count each other, also across
web servers. The lock is on the pair of name and address: guessing from elsewhere cannot lock the
owner out. Tries with many names from one address are limited, too.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from math import ceil
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from campaigns.clock import database_now
from workers import audit
from workers.models import AuditEntry
from xeenet_site.models import SignInTry
from xeenet_site.web import commands, roles
from xeenet_site.web.client_address import client_address

logger = logging.getLogger(__name__)

LOCKED_CODE: Final = "locked"
# The limit for all names from one address is this multiple of the limit for one name, because a
# whole team may share an address.
NAMES_PER_ADDRESS: Final = 10


class SignInLocked(Exception):
    """Too many wrong passwords; the next try is possible in `wait_seconds`."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds


def begin_try(name: str, address: str, *, now: dt.datetime) -> SignInTry:
    """Record a try and return it. Raises SignInLocked, recording nothing, after too many tries."""
    lock = dt.timedelta(seconds=settings.XEENET["SIGN_IN_LOCK_SECONDS"])
    most: int = settings.XEENET["SIGN_IN_TRIES"]
    SignInTry.objects.filter(at__lt=now - lock).delete()
    hashed = _hashed(name)
    this = SignInTry.objects.create(name_sha256=hashed, address=address, at=now)
    from_here = SignInTry.objects.filter(address=address, at__gte=now - lock)
    earlier = from_here.exclude(pk=this.pk).order_by("-at")
    for tries, limit in (
        (earlier.filter(name_sha256=hashed), most),
        (earlier, NAMES_PER_ADDRESS * most),
    ):
        # The lock ends when the oldest of the last `limit` tries expires.
        decisive = tries.values_list("at", flat=True)[limit - 1 : limit].first()
        if decisive is not None:
            this.delete()
            raise SignInLocked((decisive + lock - now).total_seconds())
    return this


def note_failure(name: str, address: str, *, now: dt.datetime) -> None:
    """Log the try that triggered the lock; for an existing account also in the audit log."""
    hashed = _hashed(name)
    if (
        SignInTry.objects.filter(address=address, name_sha256=hashed).count()
        != settings.XEENET["SIGN_IN_TRIES"]
    ):
        return
    logger.warning("sign-in locked after too many wrong passwords, for %s", address)
    user = User.objects.filter(username=name).first()
    if user is not None:
        AuditEntry.objects.create(
            at=now,
            actor_name="somebody",
            verb="lock_sign_in",
            target_kind="user",
            target_id=user.pk,
            target_name=user.get_username(),
            detail=f"{settings.XEENET['SIGN_IN_TRIES']} wrong passwords from {address}",
        )


def end_lock(actor: User | None, person: User, *, now: dt.datetime) -> int:
    """Delete the recorded tries for a person's name from all addresses; return their number.

    An actor of None is the command line on the server. Tries of an address with other names still
    count towards its limit. Raises PermissionDenied unless the actor is an operator.
    """
    if actor is not None and not roles.may_operate(actor):
        raise PermissionDenied("Only operators may end a sign-in lock.")
    # One transaction: the deletion must not be committed without its audit entry.
    with transaction.atomic():
        tries = SignInTry.objects.filter(name_sha256=_hashed(person.get_username()))
        forgotten, _ = tries.delete()
        audit.record(
            actor,
            "unlock_sign_in",
            person,
            now=now,
            detail=f"{forgotten} wrong passwords forgotten",
        )
    return forgotten


def _hashed(name: str) -> str:
    return hashlib.sha256(name.casefold().encode()).hexdigest()


class SignInForm(AuthenticationForm):
    """Name and password; checks the password only while tries are left."""

    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username", "")
        assert self.request is not None  # noqa: S101 - SignInView passes it
        address, now = client_address(self.request), database_now()
        try:
            this = begin_try(name, address, now=now)
        except SignInLocked as locked:
            minutes = ceil(locked.wait_seconds / 60)
            raise ValidationError(
                f"Too many wrong passwords for this name from your address. Try again in {minutes} "
                f"minute{'' if minutes == 1 else 's'}.",
                code=LOCKED_CODE,
                params={"wait": ceil(locked.wait_seconds)},
            ) from locked
        try:
            cleaned = super().clean()
        except ValidationError:
            note_failure(name, address, now=now)
            raise
        SignInTry.objects.filter(name_sha256=this.name_sha256, address=address).delete()
        return cleaned


class SignInView(LoginView):
    """The sign-in page, shared by pages and admin. Answers 429 while sign-in is locked."""

    form_class = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if not commands.is_at_the_machine(self.request):
            return context
        is_first = not User.objects.exists()
        command = commands.manage("first_account" if is_first else "createsuperuser")
        return context | {"is_first": is_first, "command": command}

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        for error in form.non_field_errors().as_data():
            if error.code == LOCKED_CODE and error.params:
                response.status_code = 429
                response.headers["Retry-After"] = str(error.params["wait"])
        return response


def admin_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Redirect to the sign-in page, or back for signed-in staff; others get PermissionDenied."""
    target = request.GET.get(REDIRECT_FIELD_NAME, "")
    is_safe = url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    back = target if is_safe else reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(back)
    if not getattr(request.user, "is_staff", False):
        raise PermissionDenied("The admin is for staff; your account is none.")
    return redirect(back)
