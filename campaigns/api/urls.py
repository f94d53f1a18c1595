"""The paths under /api/v1/. Those for agents are named by `workers.protocol`."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from campaigns.api.views import (
    account,
    agents,
    analysis,
    arms,
    calibrations,
    campaigns,
    classes,
    compare,
    fleets,
    invitations,
    journal,
    leases,
    new_campaign,
    notes,
    overview,
    races,
    results,
    results_of_agents,
    scripts,
    tasks,
    webhooks,
    workers,
)
from campaigns.panels import PANELS
from workers import calibration, protocol
from xeenet_site.web.converters import SHA256


class PanelConverter(StringConverter):
    """One of the panels of the analysis."""

    regex = "|".join(PANELS)


register_converter(PanelConverter, "panel_key")

LEASE = "<uuid:lease_id>"
TASK = "campaigns/<int:campaign>/tasks/<int:number>"

# What agents call most, which takes a way of its own: `xeenet_site.short_way`.
AGENT_CALLS = [
    path(protocol.CLAIM_PATH, leases.ClaimView.as_view(), name="api-claim"),
    path(protocol.HEARTBEAT_PATH, leases.HeartbeatView.as_view(), name="api-heartbeat"),
    path(
        protocol.RESULT_PATH.format(lease_id=LEASE), leases.ResultView.as_view(), name="api-result"
    ),
    path(
        protocol.RESULTS_PATH,
        results_of_agents.ResultsOfAgentsView.as_view(),
        name="api-results-of-agents",
    ),
    path(
        protocol.RELEASE_PATH.format(lease_id=LEASE),
        leases.ReleaseView.as_view(),
        name="api-release",
    ),
]

urlpatterns = [
    path(protocol.ENROL_PATH, agents.EnrolView.as_view(), name="api-enrol"),
    path(protocol.ME_PATH, agents.MeView.as_view(), name="api-me"),
    path(protocol.TOKEN_PATH, agents.TokenView.as_view(), name="api-token"),
    path(protocol.LEAVE_PATH, agents.LeaveView.as_view(), name="api-leave"),
    path(
        calibration.CALIBRATION_PATH,
        calibrations.CalibrationView.as_view(),
        name="api-calibration",
    ),
    path(protocol.FLEET_DEMAND_PATH, fleets.FleetDemandView.as_view(), name="api-fleet-demand"),
    *AGENT_CALLS,
    path(
        protocol.PACKAGE_PATH.format(sha256=SHA256),
        agents.PackageView.as_view(),
        name="api-package",
    ),
    path(
        protocol.DATASET_PATH.format(sha256=SHA256),
        agents.DatasetView.as_view(),
        name="api-dataset",
    ),
    path("overview", overview.OverviewView.as_view(), name="api-overview"),
    path("catalog", new_campaign.CatalogView.as_view(), name="api-catalog"),
    path("search-spaces/read", new_campaign.ReadSpaceView.as_view(), name="api-read-space"),
    path("campaigns/preview", new_campaign.PreviewView.as_view(), name="api-preview"),
    path("campaigns", campaigns.CampaignsView.as_view(), name="api-campaigns"),
    path("campaigns/<int:pk>", campaigns.CampaignView.as_view(), name="api-campaign"),
    path("campaigns/<int:pk>/launch", campaigns.LaunchView.as_view(), name="api-launch"),
    path("campaigns/<int:pk>/pause", campaigns.PauseView.as_view(), name="api-pause"),
    path("campaigns/<int:pk>/resume", campaigns.ResumeView.as_view(), name="api-resume"),
    path("campaigns/<int:pk>/cancel", campaigns.CancelView.as_view(), name="api-cancel"),
    path("campaigns/<int:pk>/add-tasks", campaigns.AddTasksView.as_view(), name="api-add-tasks"),
    path(
        "campaigns/<int:pk>/raise-attempts",
        campaigns.RaiseAttemptsView.as_view(),
        name="api-raise-attempts",
    ),
    path("campaigns/<int:pk>/finish", campaigns.FinishView.as_view(), name="api-finish"),
    path(
        "campaigns/<int:pk>/race-options",
        campaigns.RaceOptionsView.as_view(),
        name="api-race-options",
    ),
    path("campaigns/<int:pk>/share", campaigns.ShareView.as_view(), name="api-share"),
    path("campaigns/<int:pk>/ask", campaigns.AskView.as_view(), name="api-ask"),
    path("campaigns/<int:pk>/clone", new_campaign.CloneView.as_view(), name="api-clone"),
    path(
        "campaigns/<int:pk>/workers",
        overview.ContributionsView.as_view(),
        name="api-contributions",
    ),
    path("campaigns/<int:pk>/log", overview.LogView.as_view(), name="api-log"),
    path(
        "campaigns/<int:pk>/journal",
        journal.CampaignJournalView.as_view(),
        name="api-campaign-journal",
    ),
    path("campaigns/<int:pk>/arms", arms.ArmsView.as_view(), name="api-arms"),
    path(
        "campaigns/<int:pk>/arms/<int:number>/again",
        notes.RunArmAgainView.as_view(),
        name="api-run-arm-again",
    ),
    path(
        "campaigns/<int:pk>/arms/<int:number>/note",
        notes.ArmNoteView.as_view(),
        name="api-arm-note",
    ),
    path(
        "campaigns/<int:pk>/tasks/<int:number>/note",
        notes.TaskNoteView.as_view(),
        name="api-task-note",
    ),
    path("campaigns/<int:pk>/classes", classes.ClassesView.as_view(), name="api-classes"),
    path("campaigns/<int:pk>/tasks", tasks.TasksView.as_view(), name="api-tasks"),
    path("campaigns/<int:pk>/attempts", tasks.AttemptsView.as_view(), name="api-attempts"),
    path("campaigns/<int:pk>/results", results.ResultsView.as_view(), name="api-results"),
    path(
        "campaigns/<int:pk>/results.csv", results.ResultsCSVView.as_view(), name="api-results-csv"
    ),
    path(
        "campaigns/<int:pk>/results.jsonl",
        results.ResultsJSONLinesView.as_view(),
        name="api-results-jsonl",
    ),
    path(
        "campaigns/<int:pk>/leaderboard",
        arms.LeaderboardView.as_view(),
        name="api-leaderboard",
    ),
    path(
        "campaigns/<int:pk>/leaderboard.csv",
        arms.LeaderboardCSVView.as_view(),
        name="api-leaderboard-csv",
    ),
    path(
        "campaigns/<int:pk>/importance",
        analysis.ImportanceView.as_view(),
        name="api-importance",
    ),
    path("campaigns/<int:pk>/analysis", analysis.AnalysisView.as_view(), name="api-analysis"),
    path(
        "campaigns/<int:pk>/analysis/<panel_key:key>",
        analysis.PanelView.as_view(),
        name="api-panel",
    ),
    path("campaigns/<int:pk>/race", races.StartRaceView.as_view(), name="api-start-race"),
    path("campaigns/<int:pk>/races", races.RacesView.as_view(), name="api-races"),
    path(
        "campaigns/<int:pk>/races/<int:race>/differences",
        races.DifferencesView.as_view(),
        name="api-differences",
    ),
    path("campaigns/<int:pk>/honesty", classes.HonestyView.as_view(), name="api-honesty"),
    path("campaigns/<int:pk>/decisions", races.DecisionsView.as_view(), name="api-decisions"),
    path("campaigns/<int:pk>/plan", races.PlanView.as_view(), name="api-plan"),
    path("races/<int:pk>", races.RaceView.as_view(), name="api-race"),
    path("decisions/<int:pk>", races.DecisionView.as_view(), name="api-decision"),
    path("classes/<int:pk>/noise", classes.NoiseView.as_view(), name="api-noise"),
    path("compare", compare.CompareView.as_view(), name="api-compare"),
    path(TASK, tasks.TaskView.as_view(), name="api-task"),
    path(f"{TASK}/journal", journal.TaskJournalView.as_view(), name="api-task-journal"),
    path(f"{TASK}/retry", tasks.RetryTaskView.as_view(), name="api-retry-task"),
    path(f"{TASK}/cancel", tasks.CancelTaskView.as_view(), name="api-cancel-task"),
    path(f"{TASK}/admit", tasks.AdmitTaskView.as_view(), name="api-admit-task"),
    path(f"{TASK}/run-again", tasks.RunAgainView.as_view(), name="api-run-again"),
    path(f"{TASK}/progress", tasks.TaskProgressView.as_view(), name="api-task-progress"),
    path(f"{TASK}/bundle.zip", tasks.TaskBundleView.as_view(), name="api-task-bundle"),
    # By the id, as before tasks were named by campaign and number: programs still send it.
    path("tasks/<int:pk>", tasks.TaskView.as_view()),
    path("tasks/<int:pk>/journal", journal.TaskJournalView.as_view()),
    path("tasks/<int:pk>/retry", tasks.RetryTaskView.as_view()),
    path("tasks/<int:pk>/cancel", tasks.CancelTaskView.as_view()),
    path("tasks/<int:pk>/admit", tasks.AdmitTaskView.as_view()),
    path("tasks/<int:pk>/run-again", tasks.RunAgainView.as_view()),
    path("tasks/<int:pk>/progress", tasks.TaskProgressView.as_view()),
    path("tasks/<int:pk>/bundle.zip", tasks.TaskBundleView.as_view()),
    path("scripts", scripts.ScriptsView.as_view(), name="api-scripts"),
    path(f"scripts/{SHA256}", scripts.ScriptView.as_view(), name="api-script"),
    path(
        f"scripts/{SHA256}/approve",
        scripts.ApproveScriptView.as_view(),
        name="api-approve-script",
    ),
    path(
        f"scripts/{SHA256}/decline",
        scripts.DeclineScriptView.as_view(),
        name="api-decline-script",
    ),
    path(
        f"scripts/{SHA256}/withdraw",
        scripts.WithdrawScriptView.as_view(),
        name="api-withdraw-script",
    ),
    path("fleets", fleets.FleetsView.as_view(), name="api-fleets"),
    path("fleets/<int:pk>/revoke", fleets.RevokeFleetView.as_view(), name="api-fleet-revoke"),
    path("invitations", invitations.InvitationsView.as_view(), name="api-invitations"),
    path("invitations/<int:pk>", invitations.InvitationView.as_view(), name="api-invitation"),
    path("workers/<int:pk>", workers.WorkerView.as_view(), name="api-worker"),
    path(
        "workers/<int:pk>/attempts",
        workers.WorkerAttemptsView.as_view(),
        name="api-worker-attempts",
    ),
    path(
        "workers/<int:pk>/calibrations",
        calibrations.WorkerCalibrationsView.as_view(),
        name="api-worker-calibrations",
    ),
    path(
        "workers/<int:pk>/admit-calibration",
        calibrations.AdmitCalibrationView.as_view(),
        name="api-admit-calibration",
    ),
    path(
        "workers/<int:pk>/token",
        invitations.RotateWorkerTokenView.as_view(),
        name="api-rotate-token",
    ),
    path("workers", workers.WorkersView.as_view(), name="api-workers"),
    path("workers/<int:pk>/drain", workers.DrainWorkerView.as_view(), name="api-drain-worker"),
    path("workers/<int:pk>/resume", workers.ResumeWorkerView.as_view(), name="api-resume-worker"),
    path(
        "workers/<int:pk>/disable", workers.DisableWorkerView.as_view(), name="api-disable-worker"
    ),
    path("webhooks", webhooks.WebhooksView.as_view(), name="api-webhooks"),
    path("webhooks/<int:pk>", webhooks.WebhookView.as_view(), name="api-webhook"),
    path(
        "webhooks/<int:pk>/enable",
        webhooks.EnableWebhookView.as_view(),
        name="api-enable-webhook",
    ),
    path(
        "webhooks/<int:pk>/disable",
        webhooks.DisableWebhookView.as_view(),
        name="api-disable-webhook",
    ),
    path("webhooks/<int:pk>/test", webhooks.TestWebhookView.as_view(), name="api-test-webhook"),
    path("webhooks/<int:pk>/deliveries", webhooks.DeliveriesView.as_view(), name="api-deliveries"),
    path("deliveries/<int:pk>/again", webhooks.SendAgainView.as_view(), name="api-send-again"),
    path("account", account.AccountView.as_view(), name="api-account"),
    path("account/tokens", account.TokensView.as_view(), name="api-account-tokens"),
    path("account/tokens/<int:pk>", account.TokenView.as_view(), name="api-account-token"),
    path("audit", account.AuditView.as_view(), name="api-audit"),
]
