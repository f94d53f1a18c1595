"""The pages of scripts: the list with the upload form, one script with its text, its verbs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from campaigns import lifecycle
from campaigns.clock import database_now
from campaigns.models import Package
from campaigns.scripts import steering as script_steering
from campaigns.scripts.source import MAX_NAME_CHARACTERS, MAX_SCRIPT_BYTES
from campaigns.views.verbs import reason_in
from experiments import catalog
from xeenet_site.web import roles
from xeenet_site.web.pages import reading_page, signed_in, signed_in_user
from xeenet_site.web.verbs import Verb

SCRIPTS_PER_PAGE = 30
CAMPAIGNS_SHOWN = 20
SCRIPT_VERBS = {
    "approve": Verb(
        script_steering.approve, "Approved: workers whose owners allow uploaded scripts may run it."
    ),
    "withdraw": Verb(
        script_steering.withdraw, "Withdrawn: no worker gets it any more. Running tasks may finish."
    ),
    "decline": Verb(script_steering.decline, "Declined: the uploader can read why on this page."),
    "delete": Verb(script_steering.delete, "Deleted: the audit log keeps its hash."),
}


class ScriptForm(forms.Form):
    """One .py file. Its content is checked by `campaigns.scripts.steering.upload`."""

    source = forms.FileField(
        label="File",
        help_text=(
            f"One .py file, UTF-8, at most {MAX_SCRIPT_BYTES // 1024} KiB, that imports only the "
            "standard library and torch."
        ),
        widget=forms.ClearableFileInput(attrs={"accept": ".py,text/x-python"}),
        allow_empty_file=True,
    )
    experiment = forms.ChoiceField(
        label="Variation of",
        help_text="It must work with the search space, data sets and result line of this "
        "experiment.",
    )
    name = forms.CharField(
        max_length=MAX_NAME_CHARACTERS,
        required=False,
        help_text="The default is the file's name.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        experiment = self.fields["experiment"]
        assert isinstance(experiment, forms.ChoiceField)  # noqa: S101 - tells the type checker
        experiment.choices = [(entry.name, entry.title) for entry in catalog.all()]
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"help_{name}"


@reading_page
def script_list(request: HttpRequest) -> HttpResponse:
    """Show the uploaded scripts, newest first, and to researchers the upload form."""
    return _page(request, ScriptForm())


@reading_page
def script_template(_request: HttpRequest) -> HttpResponse:
    """Send the template from which a person writes a script, as a file."""
    source = catalog.script_template()
    headers = {"Content-Disposition": 'attachment; filename="my_script.py"'}
    return HttpResponse(source, content_type="text/x-python; charset=utf-8", headers=headers)


@signed_in
@require_POST
def upload_script(request: HttpRequest) -> HttpResponse:
    """Store a script for an operator to read, and show it."""
    form = ScriptForm(request.POST, request.FILES)
    if not roles.may_create(request.user):
        raise PermissionDenied("Only researchers and operators may upload scripts.")
    if form.is_valid():
        file: UploadedFile[bytes] = form.cleaned_data["source"]
        try:
            package, is_new = script_steering.upload(
                signed_in_user(request),
                name=form.cleaned_data["name"] or script_steering.name_of_file(file.name or ""),
                experiment=form.cleaned_data["experiment"],
                # One byte more than allowed: enough to notice that a file is too large.
                source=file.read(MAX_SCRIPT_BYTES + 1),
                now=database_now(),
            )
        except lifecycle.InvalidCampaign as error:
            for name, sentences in error.errors.items():
                form.add_error(name, sentences)
        else:
            done = "Uploaded: an operator has to read and approve it before any worker gets it."
            messages.success(request, done if is_new else "These very bytes are here already.")
            return redirect(package)
    return _page(request, form, status=422)


@reading_page
def script(request: HttpRequest, sha256: str) -> HttpResponse:
    """Show a script: its text, its difference to the experiment's own, its campaigns, its verbs."""
    package = get_object_or_404(Package.objects.select_related(*script_steering.JUDGES), pk=sha256)
    campaigns = package.campaigns.order_by("-created_at", "-pk")
    campaign_count = campaigns.count()
    context = {
        "script": package,
        "text": script_steering.text_of(package),
        "difference": script_steering.difference(package),
        "campaigns": campaigns[:CAMPAIGNS_SHOWN],
        "campaign_count": campaign_count,
        "more_campaigns": max(0, campaign_count - CAMPAIGNS_SHOWN),
        "may_delete": script_steering.may_delete(request.user, package),
        "now": database_now(),
    }
    return render(request, "campaigns/script.html", context)


@signed_in
@require_POST
def change_script(request: HttpRequest, sha256: str, verb: str) -> HttpResponse:
    """Apply a verb to a script and show the script, or after its deletion the list."""
    package = get_object_or_404(Package, pk=sha256)
    arguments = {"reason": reason_in(request)} if verb == "decline" else {}
    try:
        SCRIPT_VERBS[verb].run(signed_in_user(request), package, now=database_now(), **arguments)
    except lifecycle.LifecycleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, SCRIPT_VERBS[verb].done)
        if verb == "delete":
            return redirect("scripts")
    return redirect(package)


def _page(request: HttpRequest, form: ScriptForm, *, status: int = 200) -> HttpResponse:
    scripts = script_steering.uploaded().annotate(campaign_count=Count("campaigns"))
    context = {
        "page": Paginator(scripts, SCRIPTS_PER_PAGE).get_page(request.GET.get("page")),
        "built_in": [
            (experiment, catalog.script_sha256(experiment.name)) for experiment in catalog.all()
        ],
        "form": form,
        "now": database_now(),
    }
    return render(request, "campaigns/scripts.html", context, status=status)
