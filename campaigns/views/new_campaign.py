"""The page of a new campaign: its form, the live preview, import and export of search spaces."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from campaigns import lifecycle, steering
from campaigns.clock import database_now
from campaigns.design.previews import Preview, preview
from campaigns.lifecycle import CampaignSpec
from campaigns.models import Campaign
from campaigns.scripts import steering as script_steering
from campaigns.search.editor import SCALES, TYPES, SpaceEditor
from campaigns.search.sweep_files import MAX_TEXT_CHARACTERS, UnreadableSpace, read_space
from campaigns.views.head import VERBS
from campaigns.views.new_campaign_form import CampaignForm, space_text, values_of
from campaigns.views.planner import planner, worth_seeing
from experiments import catalog
from xeenet_site.web import roles
from xeenet_site.web.pages import reading_page, signed_in, signed_in_user, wants_fragment

# What the form asks at first; everything else has a default, and is folded.
FIRST_FIELDS: Final = frozenset(
    {"name", "experiment", "dataset", "task_count", "budget_kind"}
    | {"work_amount", "work_unit", "time_budget_seconds"}
)
DRAFT_SAVED: Final = "The draft is saved. Launch it to hand out its tasks."


@signed_in
def new_campaign(request: HttpRequest) -> HttpResponse:
    """Show the form, filled in from ?clone= or ?script= if given. POST saves a draft.

    With `then=launch` it launches the draft as well, or saves nothing.
    A POST with `edit` changes rows of the form and saves nothing. A POST by htmx without `edit`
    returns the preview.
    """
    _must_create(request)
    if request.method != "POST":
        values = _cloned(request.GET.get("clone", ""))
        if script := request.GET.get("script"):
            values |= {"script": script, "experiment": _experiment_of(script)}
        return _page(request, CampaignForm.starting_with(values))
    form = CampaignForm.from_post(request.POST)
    if edit := request.POST.get("edit"):
        return _edited(request, form, edit)
    if wants_fragment(request):
        form.is_valid()
        form.editor.forgive_blank_rows()
        shown = _preview(form, worth_seeing(request.POST))
        context = {
            "form": form,
            "preview": shown,
            "planner": planner(shown.plan, request.POST),
            "is_update": True,
        }
        return render(request, "campaigns/_new_preview.html", context)
    return _saved(request, form)


@signed_in
@require_POST
def export_typed_space(request: HttpRequest) -> HttpResponse:
    """Send the search space in the form as a JSON file, or the form with its errors."""
    _must_create(request)
    form = CampaignForm.from_post(request.POST)
    form.is_valid()
    if "search_space" not in form.cleaned_data:
        return _page(request, form, status=422)
    return _json_file(form.cleaned_data["search_space"], "search-space.json")


@reading_page
def export_space(_request: HttpRequest, pk: int) -> HttpResponse:
    """Send a campaign's search space as a JSON file, which the form and the command can import."""
    campaign = get_object_or_404(Campaign, pk=pk)
    return _json_file(campaign.search_space, f"campaign-{pk}-space.json")


def _json_file(space: dict[str, Any], name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(space_text(space), content_type="application/json", headers=headers)


def _must_create(request: HttpRequest) -> None:
    if not roles.may_create(request.user):
        raise PermissionDenied(
            "Only researchers and operators may create campaigns. An operator can give you "
            "the role."
        )


def _cloned(pk: str) -> dict[str, Any]:
    """Return the form's values of the campaign to clone, or {} for "". Raises Http404."""
    if not pk:
        return {}
    # Anything but a number of sensible length gives 404; the database would refuse it.
    number = int(pk) if pk.isdecimal() and len(pk) < 12 else 0
    return values_of(get_object_or_404(Campaign, pk=number))


def _experiment_of(sha256: str) -> str:
    """Return the experiment that a script is a variation of. Raises Http404."""
    # Leave out NUL characters: no database stores one, and PostgreSQL refuses to look for it.
    return get_object_or_404(script_steering.uploaded(), pk=sha256.replace("\0", "")).experiment


def _saved(request: HttpRequest, form: CampaignForm) -> HttpResponse:
    if form.is_valid():
        launches = request.POST.get("then") == "launch"
        try:
            campaign = _created(signed_in_user(request), form.spec(), launches=launches)
        except lifecycle.InvalidCampaign as error:
            for name, sentences in error.errors.items():
                form.add_error(name if name in form.fields else None, sentences)
        else:
            messages.success(request, VERBS["launch"].done if launches else DRAFT_SAVED)
            return redirect(campaign)
    return _page(request, form, status=422)


def _created(actor: User, spec: CampaignSpec, *, launches: bool) -> Campaign:
    """Store a campaign and perhaps launch it. Raises InvalidCampaign, and then stores nothing."""
    if not launches:
        return steering.create_campaign(actor, spec, now=database_now())
    # A draft that cannot be launched must not stay: the next try would make a second one.
    with transaction.atomic():
        now = database_now()
        campaign = steering.create_campaign(actor, spec, now=now)
        steering.launch(actor, campaign, now=now)
    return campaign


def _edited(request: HttpRequest, form: CampaignForm, edit: str) -> HttpResponse:
    """Apply a button of the search space, and show the form again.

    `edit` is the button's value: a verb, or a verb, a colon and the key of a row.
    """
    verb, _, key = edit.partition(":")
    values, editor, as_json = form.typed(), form.editor, form.as_json
    notices: dict[str, Any] = {}
    match verb:
        case "json":
            values["search_space"], as_json = space_text(editor.to_json()), True
        case "plan":
            values |= _planned(form, request)
        case "rows" | "import":
            text = values["search_space"] if verb == "rows" else _import_text(request)
            try:
                imported = read_space(text or "")
            except UnreadableSpace as error:
                notices = {f"{verb}_error": str(error), "import_text": text}
            else:
                values |= imported.suggested
                editor, as_json = SpaceEditor.from_space(imported.space), False
                notices = {"imported": verb == "import", "notes": imported.notes}
        case _:
            number = int(key) if key.isdecimal() and len(key) < 7 else -1
            notices = {"focus": editor.apply(verb, number)}
    return _page(request, CampaignForm(initial=values, editor=editor, as_json=as_json), **notices)


def _planned(form: CampaignForm, request: HttpRequest) -> dict[str, Any]:
    """Return the fields that let the race find the difference that the form asks for."""
    form.is_valid()
    wanted = _preview(form, worth_seeing(request.POST)).set_up
    if wanted is None:
        return {}
    return {
        "min_effect": f"{wanted.min_effect:.12g}",
        "races_automatically": str(wanted.races_automatically),
        "task_count": wanted.task_count,
        "race_seeds": wanted.race_seeds,
    }


def _import_text(request: HttpRequest) -> str:
    """Return the text of the uploaded file, or without a file the pasted text."""
    if file := request.FILES.get("import_file"):
        # One byte more than allowed: enough to notice that a file is too long.
        body: bytes = file.read(4 * MAX_TEXT_CHARACTERS + 1)
        return body.decode("utf-8-sig", errors="replace")
    return str(request.POST.get("import_text", ""))


def _page(
    request: HttpRequest, form: CampaignForm, *, status: int = 200, **notices: Any
) -> HttpResponse:
    """Render the form; with htmx without the page around it. `notices` go to the template."""
    bound = form
    if not form.is_bound:
        # The preview needs validated data, but the form must not show errors in fields that nobody
        # has filled in yet. So validate a bound copy.
        bound = CampaignForm(form.typed(), editor=form.editor, as_json=form.as_json)
        bound.now = form.now
        bound.is_valid()
        form.editor.forgive_blank_rows()
    preview = _preview(bound, worth_seeing(request.POST))
    context = {
        "form": form,
        "preview": preview,
        "planner": planner(preview.plan, request.POST),
        "unit": _unit_of(form),
        "types": TYPES,
        "scales": SCALES,
        "is_space_open": _is_space_open(form, notices),
        "is_more_open": _is_more_open(form),
        **notices,
    }
    template = "campaigns/_new_form.html" if wants_fragment(request) else "campaigns/new.html"
    return render(request, template, context, status=status)


def _is_space_open(form: CampaignForm, notices: dict[str, Any]) -> bool:
    """Return whether somebody works on the search space, or must."""
    return form.as_json or bool(notices) or "search_space" in form.errors


def _is_more_open(form: CampaignForm) -> bool:
    """Return whether a folded field has an error, or names a script of the reader's own."""
    folded = set(form.fields) - FIRST_FIELDS - {"search_space"}
    return bool(folded & set(form.errors)) or bool(form["script"].value())


def _unit_of(form: CampaignForm) -> str:
    """Return the unit of the values of the chosen experiment; "" when it has none."""
    try:
        return catalog.get(str(form["experiment"].value() or "")).metric_spec.unit
    except catalog.UnknownExperiment:
        return ""


def _preview(form: CampaignForm, difference: float | None) -> Preview:
    """Return the preview of a validated form, or the errors in the fields that it needs.

    The race is planned to find a `difference`.
    """
    needed = {
        *("search_space", "sampler", "base_seed", "task_count"),
        *("experiment", "time_budget_seconds", "allow_simulated"),
        *("budget_kind", "work_unit", "work_amount"),
    }
    if needed <= form.cleaned_data.keys():
        return preview(form.cleaned_data, now=form.now, worth_seeing=difference)
    wrong = [name for name in form.fields if name in needed and name in form.errors]
    return Preview(
        0, errors=[f"{form[name].label}: {text}" for name in wrong for text in form.errors[name]]
    )
