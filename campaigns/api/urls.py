"""The paths below /api/v1/: the agents' as `workers.protocol` names them, and the researchers'."""

from django.urls import path, register_converter

from campaigns.api import views as research
from campaigns.api import views_agent as agent
from campaigns.api import views_analysis as analysis
from campaigns.api import views_results as results
from campaigns.api import views_tasks as tasks
from campaigns.api import views_workers as fleet
from workers import protocol


class Sha256Converter:
    """Lets only hashes through, so that nothing else reaches a query."""

    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Sha256Converter, "sha256")

LEASE = "<uuid:lease_id>"
SHA256 = "<sha256:sha256>"

urlpatterns = [
    path(protocol.ENROL_PATH, agent.EnrolView.as_view(), name="api-enrol"),
    path(protocol.ME_PATH, agent.MeView.as_view(), name="api-me"),
    path(protocol.CLAIM_PATH, agent.ClaimView.as_view(), name="api-claim"),
    path(protocol.HEARTBEAT_PATH, agent.HeartbeatView.as_view(), name="api-heartbeat"),
    path(
        protocol.RESULT_PATH.format(lease_id=LEASE), agent.ResultView.as_view(), name="api-result"
    ),
    path(
        protocol.RELEASE_PATH.format(lease_id=LEASE),
        agent.ReleaseView.as_view(),
        name="api-release",
    ),
    path(
        protocol.PACKAGE_PATH.format(sha256=SHA256),
        agent.PackageView.as_view(),
        name="api-package",
    ),
    path(
        protocol.DATASET_PATH.format(sha256=SHA256),
        agent.DatasetView.as_view(),
        name="api-dataset",
    ),
    path("campaigns", research.CampaignsView.as_view(), name="api-campaigns"),
    path("campaigns/<int:pk>", research.CampaignView.as_view(), name="api-campaign"),
    path("campaigns/<int:pk>/launch", research.LaunchView.as_view(), name="api-launch"),
    path("campaigns/<int:pk>/pause", research.PauseView.as_view(), name="api-pause"),
    path("campaigns/<int:pk>/resume", research.ResumeView.as_view(), name="api-resume"),
    path("campaigns/<int:pk>/cancel", research.CancelView.as_view(), name="api-cancel"),
    path("campaigns/<int:pk>/add-tasks", research.AddTasksView.as_view(), name="api-add-tasks"),
    path(
        "campaigns/<int:pk>/raise-attempts",
        research.RaiseAttemptsView.as_view(),
        name="api-raise-attempts",
    ),
    path("campaigns/<int:pk>/ask", research.AskView.as_view(), name="api-ask"),
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
        results.LeaderboardView.as_view(),
        name="api-leaderboard",
    ),
    path(
        "campaigns/<int:pk>/importance",
        analysis.ImportanceView.as_view(),
        name="api-importance",
    ),
    path("tasks/<int:pk>", tasks.TaskView.as_view(), name="api-task"),
    path("tasks/<int:pk>/retry", tasks.RetryTaskView.as_view(), name="api-retry-task"),
    path("tasks/<int:pk>/cancel", tasks.CancelTaskView.as_view(), name="api-cancel-task"),
    path("workers", fleet.WorkersView.as_view(), name="api-workers"),
    path("workers/<int:pk>/drain", fleet.DrainWorkerView.as_view(), name="api-drain-worker"),
    path("workers/<int:pk>/resume", fleet.ResumeWorkerView.as_view(), name="api-resume-worker"),
    path("workers/<int:pk>/disable", fleet.DisableWorkerView.as_view(), name="api-disable-worker"),
]
