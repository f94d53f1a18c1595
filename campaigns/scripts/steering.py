"""What people do with uploaded training scripts: upload, approve, decline, delete; and read them.

A researcher uploads a variation of a catalog experiment; its hash identifies it for good. An
operator reads it and approves that hash, or declines it with a reason. Workers get only approved
scripts, and only workers whose owners allow uploaded scripts. Views, admin, API and commands call
these verbs: each raises PermissionDenied (with a sentence) for a person who may not. An actor of
None is the command line on the server, which may do everything.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import io
import re
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet

from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.models import MAX_REASON_LENGTH, Package, PackageOrigin
from campaigns.scripts.source import MAX_NAME_CHARACTERS, name_problem, source_problems
from experiments import catalog
from workers import audit
from xeenet_site.web import roles

_PYTHON_SUFFIX = re.compile(r"\.py\Z", re.IGNORECASE)
# The people who uploaded and judged a script, to be loaded with it.
JUDGES: Final = ("uploaded_by", "approved_by", "declined_by")
_NOT_DECLINED: Final[dict[str, Any]] = {
    "declined_at": None,
    "declined_by": None,
    "declined_reason": "",
}
_JUDGEMENT: Final = ("approved_at", "approved_by", *_NOT_DECLINED)


class InvalidScript(InvalidCampaign):
    """The upload or the reason cannot be accepted; `errors` maps fields to sentences."""


def upload(
    actor: User | None, *, name: str, experiment: str, source: bytes, now: dt.datetime
) -> tuple[Package, bool]:
    """Store a script for an operator to read; return it and whether it is new.

    Idempotent: the same bytes again change nothing, whoever uploads them. Raises InvalidScript.
    """
    if actor is not None and not roles.may_create(actor):
        raise PermissionDenied("Only researchers and operators may upload scripts.")
    name = _PYTHON_SUFFIX.sub("", name)
    if errors := _upload_problems(name, experiment, source):
        raise InvalidScript(errors)
    # One transaction in every verb here: no change without its audit entry.
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
    """Allow workers to get exactly these bytes. Raises WrongState unless they need an approval."""
    _must_operate(actor)
    if not package.is_uploaded:
        raise WrongState("The script came with this installation; it needs no approval.")
    source = bytes(package.source)
    if hashlib.sha256(source).hexdigest() != package.sha256 or source_problems(source):
        raise WrongState("What is stored is not what was uploaded; upload the script again.")
    with transaction.atomic():
        # A guarded UPDATE: of two concurrent operators one approves, and the log has one entry.
        unapproved = Package.objects.filter(pk=package.pk, approved_at=None)
        if not unapproved.update(**_NOT_DECLINED, approved_at=now, approved_by=actor):
            raise WrongState("The script is approved already.")
        audit.record(actor, "approve_script", package, now=now, detail=package.sha256)
    package.refresh_from_db(fields=_JUDGEMENT)


def note_warm_check(
    actor: User | None, package: Package, *, passed: bool, now: dt.datetime
) -> None:
    """Keep what `check_experiment` found on the server: whether an uploaded script starts warm.

    Running tasks go on as they began. Raises WrongState for a script that needs no such check.
    """
    _must_operate(actor)
    if not package.is_uploaded:
        raise WrongState("The script came with this installation; it starts warm.")
    with transaction.atomic():
        package.warm_checked_at = now if passed else None
        package.save(update_fields=["warm_checked_at"])
        found = "equal values" if passed else "other values"
        audit.record(actor, "check_script", package, now=now, detail=f"{package.sha256} {found}")


def decline(actor: User | None, package: Package, *, reason: str, now: dt.datetime) -> None:
    """Decline the script with a reason, which its uploader reads.

    An operator may still approve it later. Raises InvalidScript without a reason, and WrongState
    unless the script waits for an approval.
    """
    _must_operate(actor)
    if not package.is_uploaded:
        raise WrongState("The script came with this installation; it waits for no approval.")
    if not (reason := reason.strip()):
        raise InvalidScript(
            {"reason": ["must say why: the person who uploaded the script reads it"]}
        )
    with transaction.atomic():
        waiting = Package.objects.filter(pk=package.pk, approved_at=None, declined_at=None)
        if not waiting.update(**_declined(actor, reason, now)):
            raise WrongState("The script is approved or declined already.")
        detail = f"{package.sha256} {reason}"
        audit.record(actor, "decline_script", package, now=now, detail=detail)
    package.refresh_from_db(fields=_JUDGEMENT)


def withdraw(actor: User | None, package: Package, *, now: dt.datetime) -> None:
    """Give the script to no worker from now on; running tasks may finish. Raises WrongState."""
    _must_operate(actor)
    with transaction.atomic():
        approved = Package.objects.filter(pk=package.pk, approved_at__isnull=False)
        declined = _declined(actor, "The approval was withdrawn.", now)
        if not approved.update(**declined, approved_at=None, approved_by=None):
            raise WrongState("The script is not approved, so no approval can be withdrawn.")
        audit.record(actor, "withdraw_script", package, now=now, detail=package.sha256)
    package.refresh_from_db(fields=_JUDGEMENT)


def delete(actor: User | None, package: Package, *, now: dt.datetime) -> None:
    """Delete an uploaded script that no campaign uses; the audit log keeps its hash.

    Raises WrongState.
    """
    if actor is not None and not may_delete(actor, package):
        raise PermissionDenied(
            "Only the person who uploaded the script and operators may delete it."
        )
    with transaction.atomic():
        # The lock decides a race: a campaign that is being created with the script is seen here, or
        # finds the script gone.
        locked = Package.objects.select_for_update().defer("source").filter(pk=package.pk).first()
        if locked is None:
            raise WrongState("The script is deleted already.")
        if not locked.is_uploaded:
            raise WrongState("The script came with this installation; it is not deleted.")
        if locked.campaigns.exists():
            raise WrongState(
                "A campaign uses the script; its results would name a script that is gone."
            )
        audit.record(actor, "delete_script", package, now=now, detail=package.sha256)
        locked.delete()


def may_delete(user: roles.Person, package: Package) -> bool:
    """Return whether this person may delete the script, should no campaign use it."""
    return roles.may_change(user, package.uploaded_by_id)


def uploaded() -> QuerySet[Package]:
    """Return the uploaded scripts without their text, newest first."""
    scripts = Package.objects.filter(origin=PackageOrigin.UPLOADED).defer("source")
    return scripts.select_related(*JUDGES).order_by("-created_at", "sha256")


def waiting(*, since: dt.datetime) -> QuerySet[Package]:
    """Return the scripts uploaded since then that no operator has judged yet, the newest first."""
    return uploaded().filter(approved_at=None, declined_at=None, created_at__gte=since)


def text_of(package: Package) -> str:
    """Return the script as a person reads it."""
    return bytes(package.source).decode("utf-8", errors="replace")


def lines_of(package: Package) -> list[str]:
    """Return the lines of a script without their ends, split where Python splits them."""
    return [line.rstrip("\n") for line in io.StringIO(text_of(package), newline=None)]


def difference(package: Package) -> list[str]:
    """Return the lines of a unified diff from the experiment's own script to an uploaded one.

    [] for the experiment's own script, and when the catalog has the experiment no more.
    """
    try:
        original = catalog.script_source(package.experiment or package.name).decode()
    except catalog.UnknownExperiment:
        return []
    return list(
        difflib.unified_diff(
            original.splitlines(),
            lines_of(package),
            f"{package.experiment}.py (this installation's)",
            f"{package.name}.py (uploaded)",
            lineterm="",
        )
    )


def operator_names(limit: int = 5) -> list[str]:
    """Return the names of at most `limit` people who could approve a script."""
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
    for built_in in catalog.all():
        if sha256 == catalog.script_sha256(built_in.name):
            errors["source"] = [
                f"This is {built_in.name}'s own script, unchanged; choose that experiment."
            ]
    return errors


def name_of_file(path: str) -> str:
    """Return the script's name for a file of this name; `name_problem` may still refuse it."""
    return _PYTHON_SUFFIX.sub("", path.replace("\\", "/").rpartition("/")[2])[:MAX_NAME_CHARACTERS]


def _must_operate(actor: User | None) -> None:
    if actor is not None and not roles.may_operate(actor):
        raise PermissionDenied("Only operators may approve and decline scripts.")


def _declined(actor: User | None, reason: str, now: dt.datetime) -> dict[str, Any]:
    return {
        "declined_at": now,
        "declined_by": actor,
        "declined_reason": reason[:MAX_REASON_LENGTH],
    }
