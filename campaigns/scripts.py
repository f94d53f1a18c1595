"""What people do with uploaded training scripts: upload, approve, withdraw; and how they read them.

A researcher uploads a variation of a catalog experiment. Its hash names it for ever; an operator
approves that hash after reading it, and only then do workers get it - those whose owners allow
uploaded scripts. Views, admin, API and the command line come through here: every verb raises
PermissionDenied (with a sentence) for who may not. An actor of None is the command line on the
server, which may everything.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import io
import re

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.models import Package, PackageOrigin
from campaigns.script_source import MAX_NAME_CHARACTERS, name_problem, source_problems
from experiments import catalog
from workers import audit, roles
from workers.models import AuditEntry

_PYTHON_SUFFIX = re.compile(r"\.py\Z", re.IGNORECASE)


class InvalidScript(InvalidCampaign):
    """What was uploaded is no script to approve by reading; `errors` maps fields to sentences."""


def upload(
    actor: User | None, *, name: str, experiment: str, source: bytes, now: dt.datetime
) -> tuple[Package, bool]:
    """Store a script for an operator to read; return it and whether it is new.

    The same bytes again change nothing, whoever sends them. Raises InvalidScript.
    """
    if actor is not None and not roles.may_create(actor):
        raise PermissionDenied("Only researchers and operators may upload scripts.")
    name = _PYTHON_SUFFIX.sub("", name)
    if errors := _upload_problems(name, experiment, source):
        raise InvalidScript(errors)
    # One transaction in every verb here: no act without its entry.
    with transaction.atomic():
        package, is_new = Package.objects.get_or_create(
            sha256=hashlib.sha256(source).hexdigest(),
            defaults={
                "name": name,
                "experiment": experiment,
                "source": source,
                "origin": PackageOrigin.UPLOADED,
                "uploaded_by": actor,
                "created_at": now,
            },
        )
        if is_new:
            audit.record(actor, "upload_script", package, now=now, detail=package.sha256)
    return package, is_new


def approve(actor: User | None, package: Package, *, now: dt.datetime) -> None:
    """Let workers be given this script, byte for byte. Raises WrongState unless it waits for it."""
    _must_operate(actor)
    if not package.is_uploaded:
        raise WrongState("The script came with this installation; it needs no approval.")
    source = bytes(package.source)
    if hashlib.sha256(source).hexdigest() != package.sha256 or source_problems(source):
        raise WrongState("What is stored is not what was uploaded; upload the script again.")
    with transaction.atomic():
        # Guarded: of two operators one approves, and the log has one entry.
        approved = Package.objects.filter(pk=package.pk, approved_at=None)
        if not approved.update(approved_at=now, approved_by=actor):
            raise WrongState("The script is approved already.")
        audit.record(actor, "approve_script", package, now=now, detail=package.sha256)
    package.refresh_from_db(fields=["approved_at", "approved_by"])


def withdraw(actor: User | None, package: Package, *, now: dt.datetime) -> None:
    """Give the script to no worker from now on; what runs may finish. Raises WrongState."""
    _must_operate(actor)
    with transaction.atomic():
        approved = Package.objects.filter(pk=package.pk, approved_at__isnull=False)
        if not approved.update(approved_at=None, approved_by=None):
            raise WrongState("The script is not approved, so no approval can be withdrawn.")
        audit.record(actor, "withdraw_script", package, now=now, detail=package.sha256)
    package.refresh_from_db(fields=["approved_at", "approved_by"])


def uploaded() -> QuerySet[Package]:
    """Return the uploaded scripts without their text, newest first."""
    found = Package.objects.filter(origin=PackageOrigin.UPLOADED).defer("source")
    return found.select_related("uploaded_by", "approved_by").order_by("-created_at", "sha256")


def waiting(*, since: dt.datetime) -> QuerySet[Package]:
    """Return the scripts uploaded since then that no operator has judged yet, the newest first."""
    # Without its approval a withdrawn script looks like a new one; the log tells them apart.
    withdrawn = AuditEntry.objects.filter(
        target_kind="package", verb="withdraw_script", detail=OuterRef("sha256")
    )
    unapproved = uploaded().filter(approved_at=None, created_at__gte=since)
    return unapproved.filter(~Exists(withdrawn))


def text_of(package: Package) -> str:
    """Return the script as a person reads it."""
    return bytes(package.source).decode("utf-8", errors="replace")


def lines_of(package: Package) -> list[str]:
    """Return the lines of a script without their ends, cut where Python cuts them."""
    return [line.rstrip("\n") for line in io.StringIO(text_of(package), newline=None)]


def difference(package: Package) -> list[str]:
    """Return the lines of a unified diff from the experiment's own script to an uploaded one.

    [] for the experiment's own, and where the catalog does not know the experiment any more.
    """
    try:
        own = catalog.script_source(package.experiment or package.name).decode()
    except catalog.UnknownExperiment:
        return []
    return list(
        difflib.unified_diff(
            own.splitlines(),
            lines_of(package),
            f"{package.experiment}.py (this installation's)",
            f"{package.name}.py (uploaded)",
            lineterm="",
        )
    )


def operator_names(limit: int = 5) -> list[str]:
    """Return who could approve a script, some of them where they are many."""
    operators = User.objects.filter(
        Q(is_staff=True) | Q(is_superuser=True) | Q(groups__name=roles.OPERATOR), is_active=True
    )
    names = operators.order_by("username").values_list("username", flat=True).distinct()
    return list(names[:limit])


def _upload_problems(name: str, experiment: str, source: bytes) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if problem := name_problem(name):
        errors["name"] = [problem]
    try:
        catalog.get(experiment)
    except catalog.UnknownExperiment as error:
        errors["experiment"] = [str(error)]
    if problems := source_problems(source):
        errors["source"] = problems
    sha256 = hashlib.sha256(source).hexdigest()
    for own in catalog.all():
        if sha256 == catalog.script_sha256(own.name):
            errors["source"] = [f"This is {own.name} as it came here; choose that experiment."]
    return errors


def name_of_file(path: str) -> str:
    """Return what a script is called that came as a file of this name, fit to be judged."""
    return _PYTHON_SUFFIX.sub("", path.replace("\\", "/").rpartition("/")[2])[:MAX_NAME_CHARACTERS]


def _must_operate(actor: User | None) -> None:
    if actor is not None and not roles.may_operate(actor):
        raise PermissionDenied("Only operators may approve scripts and withdraw the approval.")
