"""Signing in: wrong passwords are limited by name and address, on every login page."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.core.management.base import CommandError
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from tests import factories
from workers.models import AuditEntry
from xeenet_site.models import SignInTry
from xeenet_site.sign_in import NAMES_PER_ADDRESS, end_lock

pytestmark = pytest.mark.django_db
PASSWORD = "secret-for-tests"


def sign_in(
    name: str, password: str = PASSWORD, *, address: str = "192.0.2.7", path: str = ""
) -> HttpResponse:
    form = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post(path or reverse("login"), form)  # type: ignore[return-value]


def use_up_tries(settings: Any, name: str = "ada", address: str = "192.0.2.7") -> None:
    for _ in range(settings.XEENET["SIGN_IN_TRIES"]):
        assert sign_in(name, "wrong", address=address).status_code == 200


def test_the_right_password_opens_and_leaves_no_try_behind(settings: Any) -> None:
    factories.user("ada")
    assert sign_in("ada", "wrong").status_code == 200
    assert SignInTry.objects.count() == 1
    assert sign_in("ada").status_code == 302
    assert not SignInTry.objects.exists()


def test_after_some_wrong_passwords_even_the_right_one_waits_and_the_page_says_how_long(
    settings: Any,
) -> None:
    factories.user("ada")
    use_up_tries(settings)
    answer = sign_in("ada")
    assert answer.status_code == 429
    assert "Try again in 15 minutes." in answer.text
    assert 0 < int(answer["Retry-After"]) <= 900
    # Another case of the letters is the same account.
    assert sign_in("ADA").status_code == 429


def test_the_lock_is_on_the_pair_so_nobody_locks_the_owner_out(settings: Any) -> None:
    factories.user("ada")
    factories.user("bob")
    use_up_tries(settings)
    assert sign_in("ada", address="192.0.2.8").status_code == 302
    assert sign_in("bob").status_code == 302


@pytest.mark.sqlite_only  # on PostgreSQL a test cannot set the clock
def test_the_lock_ends(settings: Any) -> None:
    factories.user("ada")
    with time_machine.travel(factories.NOW, tick=False) as clock:
        use_up_tries(settings)
        clock.shift(settings.XEENET["SIGN_IN_LOCK_SECONDS"] - 1)
        assert sign_in("ada").status_code == 429
        clock.shift(2)
        assert sign_in("ada").status_code == 302


def test_one_address_cannot_go_through_many_names(settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"SIGN_IN_TRIES": 1}
    for number in range(NAMES_PER_ADDRESS):
        assert sign_in(f"name-{number}", "wrong").status_code == 200
    assert sign_in("one-more", "wrong").status_code == 429
    assert sign_in("one-more", "wrong", address="192.0.2.8").status_code == 200


def test_addresses_of_one_ipv6_network_count_as_one(settings: Any) -> None:
    factories.user("ada")
    use_up_tries(settings, address="2001:db8::1")
    assert sign_in("ada", address="2001:db8::2").status_code == 429
    assert sign_in("ada", address="2001:db8:0:1::2").status_code == 302


def test_behind_a_proxy_the_address_is_the_one_the_proxy_saw(settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"TRUSTED_PROXIES": 1, "SIGN_IN_TRIES": 1}
    factories.user("ada")

    def through_proxy(forwarded: str, password: str) -> int:
        client = Client(REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)
        form = {"username": "ada", "password": password}
        return client.post(reverse("login"), form).status_code

    assert through_proxy("198.51.100.1", "wrong") == 200
    # The caller's claim stands before the address that the proxy appended.
    assert through_proxy("203.0.113.9, 198.51.100.1", PASSWORD) == 429
    assert through_proxy("198.51.100.2", PASSWORD) == 302


def test_the_audit_log_tells_of_a_lock_once_and_only_of_accounts(settings: Any) -> None:
    user = factories.user("ada")
    use_up_tries(settings)
    sign_in("ada", "wrong")
    use_up_tries(settings, "nobody-here")
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.target_id, entry.target_name) == ("lock_sign_in", user.pk, "ada")
    assert "5 wrong passwords from 192.0.2.7" in entry.detail


def test_a_password_typed_as_the_name_is_not_kept() -> None:
    sign_in(PASSWORD, "wrong")
    stored = SignInTry.objects.values_list().get()
    assert PASSWORD not in str(stored)


def test_the_admin_has_no_door_of_its_own() -> None:
    factories.user("ada", is_staff=True)
    client = Client()
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == f"{reverse('login')}?next=/admin/"
    assert (
        client.post("/admin/login/", {"username": "ada", "password": PASSWORD}).status_code == 302
    )
    assert "_auth_user_id" not in client.session
    form = {"username": "ada", "password": PASSWORD, "next": "/admin/"}
    assert client.post(reverse("login"), form)["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_an_account_without_rights_is_not_sent_in_circles_by_the_admin() -> None:
    client = Client()
    client.force_login(factories.user())
    answer = client.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "The admin is for staff" in answer.text


def test_the_admin_sends_nobody_to_another_host() -> None:
    client = Client()
    client.force_login(factories.user(is_staff=True))
    answer = client.get("/admin/login/", {"next": "https://evil.example/"})
    assert answer["Location"] == "/admin/"


def test_a_new_password_ends_the_sessions_elsewhere_and_keeps_this_one() -> None:
    factories.user("ada")
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        client.post(reverse("login"), {"username": "ada", "password": PASSWORD})
    new = "a-longer-and-better-one"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.get(reverse("password_change")).status_code == 200
    assert here.post(reverse("password_change"), form, follow=True).status_code == 200
    assert here.get(reverse("account")).status_code == 200
    assert elsewhere.get(reverse("account")).status_code == 302
    assert sign_in("ada", new).status_code == 302


def test_the_command_ends_a_lock_early_and_the_log_tells(settings: Any) -> None:
    user = factories.user("ada")
    for address in ("192.0.2.7", "192.0.2.8"):
        use_up_tries(settings, address=address)
    use_up_tries(settings, "bob")
    output = StringIO()
    tries = 2 * settings.XEENET["SIGN_IN_TRIES"]

    call_command("unlock_sign_in", "ada", stdout=output)

    assert output.getvalue() == f"ada may sign in again; wrong passwords forgotten: {tries}.\n"
    assert sign_in("ada").status_code == sign_in("ada", address="192.0.2.8").status_code == 302
    assert sign_in("bob").status_code == 429
    entry = AuditEntry.objects.get(verb="unlock_sign_in")
    assert (entry.actor_name, entry.target_kind, entry.target_id) == (
        "command line",
        "user",
        user.pk,
    )
    with pytest.raises(CommandError, match="There is no user 'eve'"):
        call_command("unlock_sign_in", "eve")


def test_the_admin_ends_a_lock_early_and_the_log_tells_who(client: Client, settings: Any) -> None:
    user = factories.user("ada")
    use_up_tries(settings)
    client.force_login(factories.user("grace", is_staff=True, is_superuser=True))
    chosen = {"action": "unlock_sign_in", "_selected_action": [user.pk]}

    page = client.post(reverse("admin:auth_user_changelist"), chosen, follow=True).text

    assert "1 may sign in again." in page
    assert sign_in("ada").status_code == 302
    entry = AuditEntry.objects.get(verb="unlock_sign_in")
    assert (entry.actor_name, entry.target_name) == ("grace", "ada")


def test_only_operators_end_locks(settings: Any) -> None:
    user = factories.user("ada")
    use_up_tries(settings)
    with pytest.raises(PermissionDenied):
        end_lock(user, user, now=factories.NOW)
    assert sign_in("ada").status_code == 429
