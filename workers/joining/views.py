"""The pages on which machines join: an invitation and how far it has come, and the program."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from workers import steering
from workers.joining.folders import folder_path, folders
from workers.joining.lines import NO_INVITATION, in_a_checkout, joining_context, lines, link
from workers.joining.program import program
from workers.joining.progress import progress_of
from workers.lifecycle import WorkerError
from workers.models import EnrolmentToken
from xeenet_site.web.pages import page_or_fragment, server_url, signed_in, signed_in_user

MAX_LABEL_LENGTH = 100
_PAGE, _FRAGMENT = "workers/invitation.html", "workers/_invitation.html"


@signed_in
@require_POST
@never_cache
def invite(request: HttpRequest) -> HttpResponse:
    """Make an enrolment token; show it, only once, in what to type, and wait for the machine."""
    now = timezone.now()
    # PostgreSQL cannot store NUL characters.
    label = request.POST.get("label", "").replace("\0", "\ufffd").strip()[:MAX_LABEL_LENGTH]
    token, secret = steering.invite(signed_in_user(request), now=now, label=label)
    context = _context(token) | {"secret": secret, **joining_context(request, secret)}
    return render(request, _PAGE, context)


@signed_in
@never_cache
def invitation(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an operator how far an invitation has come; its secret is not shown again."""
    known = steering.invitations(signed_in_user(request))
    token = known.filter(pk=pk).first()
    if token is None:
        # It was withdrawn, perhaps while its page was open.
        return page_or_fragment(request, _PAGE, _FRAGMENT, {"number": pk, "now": timezone.now()})
    return page_or_fragment(request, _PAGE, _FRAGMENT, _context(token))


def _context(token: EnrolmentToken) -> dict[str, Any]:
    now = timezone.now()
    return {
        "number": token.pk,
        "token": token,
        "progress": progress_of(token, now=now),
        "now": now,
    }


@require_GET
@never_cache
def join(request: HttpRequest) -> HttpResponse:
    """Say to everybody how their machine joins. The invitation is in the address's fragment.

    The page shows nothing of this server but its program. Without a script the reader writes the
    invitation into the command.
    """
    url = server_url(request)
    arguments = ["--enrol", NO_INVITATION]
    context = {
        "lines": lines(url, arguments),
        "checkout": in_a_checkout(url, arguments),
        "placeholder": NO_INVITATION,
        "link": link(url, NO_INVITATION),
        "folders": folders(),
        "is_windows": "Windows" in request.headers.get("User-Agent", ""),
    }
    return render(request, "workers/join.html", context)


@require_GET
def send_program(_request: HttpRequest, name: str) -> HttpResponseBase:
    """Send the agent's wheel, or a folder of it, to everybody: who is invited has no account.

    It is the program that this project publishes; nothing of this installation is in it.
    """
    if (archive := folder_path(name)) is not None:
        return FileResponse(archive.open("rb"), as_attachment=True, filename=name)
    wheel = program()
    if name != wheel.name:
        raise Http404(f"This server has {wheel.name}.")
    response = HttpResponse(wheel.content, content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{wheel.name}"'
    response["ETag"] = f'"{wheel.sha256}"'
    patch_cache_control(response, no_cache=True)
    return response


@signed_in
@require_POST
def run_here(request: HttpRequest) -> HttpResponse:
    """Start a worker on the server's own machine for an operator, or stop it; show the fleet."""
    actor, now = signed_in_user(request), timezone.now()
    is_wanted = request.POST.get("wanted") != "no"
    try:
        (steering.run_here if is_wanted else steering.stop_here)(actor, now=now)
    except WorkerError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            "A worker starts on this machine. It joins within a minute."
            if is_wanted
            else "The worker on this machine gives its tasks back and stops.",
        )
    return redirect("workers")


@signed_in
@require_POST
def withdraw_invitation(request: HttpRequest, pk: int) -> HttpResponse:
    """Withdraw an unused invitation for an operator, then show the fleet."""
    invitation = get_object_or_404(EnrolmentToken, pk=pk)
    try:
        steering.withdraw(signed_in_user(request), invitation, now=timezone.now())
    except WorkerError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "The invitation is withdrawn: nobody can join with it.")
    return redirect("workers")
