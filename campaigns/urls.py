"""Pages of campaigns and tasks."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from campaigns.panels import PANELS
from campaigns.views import (
    account,
    agents,
    analysis,
    campaigns,
    compare,
    head,
    hero,
    honesty,
    new_campaign,
    overview,
    race,
    results,
    runs,
    scripts,
    shares,
    side,
    tabs,
    tasks,
    verbs,
    webhooks,
)
from xeenet_site.web.converters import SHA256


class CampaignVerb(StringConverter):
    """One of the verbs that a button of the campaign page sends."""

    regex = "|".join(head.VERBS)


class TaskVerb(StringConverter):
    """One of the verbs that a button of the task page sends."""

    regex = "|".join(tasks.TASK_VERBS)


class AnalysisPanel(StringConverter):
    """One of the panels of the analysis tab."""

    regex = "|".join(PANELS)


class ScriptVerb(StringConverter):
    """One of the verbs that a button of the script's page sends."""

    regex = "|".join(scripts.SCRIPT_VERBS)


class WebhookVerb(StringConverter):
    """One of the verbs that a button of the webhook's page sends."""

    regex = "|".join(webhooks.WEBHOOK_VERBS)


register_converter(CampaignVerb, "campaign_verb")
register_converter(AnalysisPanel, "analysis_panel")
register_converter(TaskVerb, "task_verb")
register_converter(WebhookVerb, "webhook_verb")
register_converter(ScriptVerb, "script_verb")

TASK = "campaigns/<int:campaign>/tasks/<int:number>"

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("agents/", agents.agents, name="agents"),
    path("campaigns/", campaigns.campaign_list, name="campaigns"),
    path("campaigns/new/", new_campaign.new_campaign, name="campaign-new"),
    path("campaigns/new/space.json", new_campaign.export_typed_space, name="campaign-new-space"),
    path("campaigns/<int:pk>/space.json", new_campaign.export_space, name="campaign-space"),
    path("campaigns/<int:pk>/", results.campaign, name="campaign"),
    path("campaigns/<int:pk>/analysis/", analysis.analysis, name="campaign-analysis"),
    path(
        "campaigns/<int:pk>/analysis/<analysis_panel:key>/",
        analysis.analysis_panel,
        name="campaign-analysis-panel",
    ),
    path(
        "campaigns/<int:pk>/analysis/<analysis_panel:key>.csv",
        analysis.analysis_csv,
        name="campaign-analysis-csv",
    ),
    path("campaigns/<int:pk>/arms/", results.arms_address, name="campaign-arms"),
    path("campaigns/<int:pk>/runs/", runs.runs, name="campaign-runs"),
    path("campaigns/<int:pk>/races/", race.races, name="campaign-races"),
    path("campaigns/<int:pk>/races/<int:race>/", race.races, name="campaign-race-page"),
    path(
        "campaigns/<int:pk>/races/<int:race>/differences.csv",
        race.differences_csv,
        name="campaign-race-csv",
    ),
    path("campaigns/<int:pk>/honesty/", honesty.honesty, name="campaign-honesty"),
    path("campaigns/<int:pk>/tasks/", tabs.tasks, name="campaign-tasks"),
    path("campaigns/<int:pk>/side/", side.side, name="campaign-side"),
    path("campaigns/<int:pk>/arms/<int:number>/again/", side.run_again, name="arm-again"),
    path(
        "campaigns/<int:pk>/arms/<int:number>/note/",
        side.write_note,
        {"kind": "arm"},
        name="arm-note",
    ),
    path(
        "campaigns/<int:pk>/tasks/<int:number>/note/",
        side.write_note,
        {"kind": "task"},
        name="task-note",
    ),
    path("campaigns/<int:pk>/workers/", tabs.workers, name="campaign-workers"),
    path("campaigns/<int:pk>/log/", tabs.log, name="campaign-log"),
    path(
        "campaigns/<int:pk>/leaderboard.csv",
        results.leaderboard_csv,
        name="campaign-leaderboard-csv",
    ),
    path("campaigns/<int:pk>/hero.json", hero.hero_json, name="campaign-hero"),
    path("campaigns/<int:pk>/results.csv", results.results_csv, name="campaign-csv"),
    path("campaigns/<int:pk>/add-tasks/", verbs.add_tasks, name="campaign-add-tasks"),
    path("campaigns/<int:pk>/race/", verbs.race, name="campaign-race"),
    path("campaigns/<int:pk>/again/", verbs.run_again, name="campaign-again"),
    path("campaigns/<int:pk>/race-options/", verbs.race_options, name="campaign-race-options"),
    path("campaigns/shares/", shares.shares, name="campaign-shares"),
    path("campaigns/<int:pk>/share/", shares.set_share, name="campaign-share"),
    path("campaigns/<int:pk>/more-tries/", verbs.raise_attempts, name="campaign-more-tries"),
    path(
        "campaigns/<int:pk>/<campaign_verb:verb>/",
        verbs.change_campaign,
        name="campaign-change",
    ),
    path("account/", account.account, name="account"),
    path("account/tokens/", account.create_token, name="account-token"),
    path("account/tokens/<int:pk>/revoke/", account.revoke_token, name="account-token-revoke"),
    path("audit/", account.audit_log, name="audit"),
    path("compare/", compare.compare, name="compare"),
    path("compare/curves.csv", compare.compare_csv, name="compare-csv"),
    path(f"{TASK}/", tasks.task, name="task"),
    path(f"{TASK}/card/", hero.card, name="task-card"),
    path(f"{TASK}/again/", tasks.run_again, name="task-again"),
    path(f"{TASK}/bundle.zip", tasks.task_zip, name="task-bundle"),
    path(f"{TASK}/curve.csv", tasks.curve_csv, name="task-curve"),
    path(f"{TASK}/<task_verb:verb>/", tasks.change_task, name="task-change"),
    # What people kept from before tasks were named by campaign and number.
    path("tasks/<int:pk>/", tasks.old_address, {"page": "task"}),
    path("tasks/<int:pk>/bundle.zip", tasks.old_address, {"page": "task-bundle"}),
    path("tasks/<int:pk>/curve.csv", tasks.old_address, {"page": "task-curve"}),
    path("campaigns/<int:pk>/webhooks/", webhooks.webhook_list, name="campaign-webhooks"),
    path("scripts/", scripts.script_list, name="scripts"),
    path("scripts/upload/", scripts.upload_script, name="script-upload"),
    path("scripts/template/", scripts.script_template, name="script-template"),
    path(f"scripts/{SHA256}/", scripts.script, name="script"),
    path(f"scripts/{SHA256}/<script_verb:verb>/", scripts.change_script, name="script-change"),
    path("webhooks/", webhooks.webhook_list, name="webhooks"),
    path("webhooks/<int:pk>/", webhooks.webhook, name="webhook"),
    path("webhooks/<int:pk>/edit/", webhooks.edit_webhook, name="webhook-edit"),
    path("webhooks/<int:pk>/<webhook_verb:verb>/", webhooks.change_webhook, name="webhook-change"),
    path("webhooks/deliveries/<int:pk>/again/", webhooks.send_again, name="webhook-again"),
]
