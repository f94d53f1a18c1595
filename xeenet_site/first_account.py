"""The first account of an installation, made on a page whose address only the server's owner knows.

`serve` prints that address while nobody has an account. It carries a code that is signed with the
server's secret key and counts for a day: whoever can read what `serve` prints, or may run a command
on the server, could make an account anyway. A stranger in the network cannot guess it, and being
on the server's own machine alone proves nothing, as proxies and other users are there, too.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import Group, User
from django.core.signing import BadSignature, TimestampSigner
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from workers import audit
from xeenet_site.web import commands, roles

VALID_FOR: Final = dt.timedelta(days=1)
_SIGNER: Final = TimestampSigner(salt="xeenet.first-account")
_VALUE: Final = "first"


# Only for type checkers it is generic.
if TYPE_CHECKING:
    _Form = UserCreationForm[User]
else:
    _Form = UserCreationForm


class AccountExists(Exception):
    """Somebody has an account already, so this is no longer the way to get one."""


def is_missing() -> bool:
    """Return whether nobody has an account yet; one query."""
    return not User.objects.exists()


def address(server_url: str) -> str:
    """Return the address on which the first account is made, "" once there is an account."""
    if not is_missing():
        return ""
    path = reverse("first-account").removeprefix(str(settings.BASE_PATH))
    return f"{server_url}{path}?{urlencode({'code': _SIGNER.sign(_VALUE)})}"


def is_valid(code: str) -> bool:
    """Return whether a code is one of this server's and not too old."""
    try:
        return _SIGNER.unsign(code, max_age=VALID_FOR) == _VALUE
    except BadSignature:
        return False


class FirstAccountForm(_Form):
    """Django's form of a new user, without what goes without saying."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("username", "password2"):
            self.fields[name].help_text = ""
        self.fields["password2"].label = "Password again"

    def begin_at_errors(self) -> None:
        """Put the cursor into the first field that is wrong."""
        wrong = next((name for name in self.fields if name in self.errors), "username")
        for name, field in self.fields.items():
            field.widget.attrs["autofocus"] = name == wrong


def create(form: UserCreationForm[User], *, now: dt.datetime) -> User:
    """Store the account of a valid form as an administrator's. Raises AccountExists."""
    with transaction.atomic():
        # Of two people who send the form at once, the second waits here until the first has one.
        list(Group.objects.select_for_update().filter(name=roles.OPERATOR))
        if not is_missing():
            raise AccountExists
        user = form.save(commit=False)
        user.is_staff = user.is_superuser = True
        user.save()
        audit.record(user, "create", user, now=now, detail="the first account")
    return user


@never_cache
@sensitive_post_parameters()
def first_account(request: HttpRequest) -> HttpResponse:
    """Show the form of the first account to who has the code, make it, and sign in."""
    if not is_missing():
        return redirect("login")
    code = request.GET.get("code", "")
    if not is_valid(code):
        context = {"command": _command(request), "is_missing_code": not code}
        return render(request, "registration/no_first_account.html", context, status=403)
    form = FirstAccountForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = create(form, now=timezone.now())
        except AccountExists:
            return redirect("login")
        login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
        return redirect("overview")
    status = 422 if form.errors else 200
    form.begin_at_errors()
    return render(request, "registration/first_account.html", {"form": form}, status=status)


def _command(request: HttpRequest) -> str:
    return commands.manage("first_account") if commands.may_see(request) else ""
