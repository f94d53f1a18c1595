"""The paths below /api/v1/: the agents' as `workers.protocol` names them, and the researchers'."""

from django.urls import path, register_converter

from campaigns.api import views as research
from campaigns.api import views_agent as agent
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
    path("campaigns/<int:pk>/tasks", research.TasksView.as_view(), name="api-tasks"),
    path("campaigns/<int:pk>/results", research.ResultsView.as_view(), name="api-results"),
    path(
        "campaigns/<int:pk>/leaderboard",
        research.LeaderboardView.as_view(),
        name="api-leaderboard",
    ),
    path("tasks/<int:pk>", research.TaskView.as_view(), name="api-task"),
]
