"""The page "For agents" with examples to copy: the loop of ask, run and tell."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from campaigns.models import Campaign, CampaignState
from workers.pace import usual
from xeenet_site.web import commands
from xeenet_site.web.pages import reading_page, server_url

# The campaign number in the examples while there is no campaign yet.
NO_CAMPAIGN = 1


@reading_page
def agents(request: HttpRequest) -> HttpResponse:
    """Show how a program asks and tells, with this server's address and the number of a campaign.

    The campaign is that of ?campaign= if it exists; otherwise the person's newest active campaign;
    otherwise the newest of all.
    """
    campaign = _campaign(request)
    times = settings.XEENET
    values = {
        # From the Host header, which Django has checked against ALLOWED_HOSTS.
        "server_url": server_url(request),
        "campaign": campaign.pk if campaign else NO_CAMPAIGN,
        "heartbeat_seconds": f"{usual().heartbeat_seconds:g}",
    }
    user_name = request.user.get_username() or "USERNAME"
    context = {
        "loop": render_to_string("agents/loop.py.txt", values),
        "ask": render_to_string("agents/ask.sh.txt", values),
        "token_command": commands.manage("create_token", user_name)
        if commands.may_see(request)
        else "",
        "about_campaign": f"It works on campaign {campaign.pk}, “{campaign.name}”."
        if campaign
        else "There is no campaign yet. Make one, and put its number in the program.",
        "pace": usual(),
        "times": times,
        "grace_seconds": sum(
            times[f"{name}_GRACE_SECONDS"] for name in ("SETUP", "KILL", "SUBMIT")
        ),
    }
    return render(request, "agents.html", context)


def _campaign(request: HttpRequest) -> Campaign | None:
    number = request.GET.get("campaign", "")
    # Longer numbers cannot be campaigns, and may be too large for the database to compare.
    if number.isascii() and number.isdigit() and len(number) < 19:
        named = Campaign.objects.filter(pk=int(number)).first()
        if named is not None:
            return named
    own = Campaign.objects.filter(owner__isnull=False, owner_id=request.user.pk)
    return own.filter(state=CampaignState.ACTIVE).first() or Campaign.objects.first()
