"""The paths below /api/v1/: the agents' as `workers.protocol` names them, and the researchers'."""

from django.urls import path, register_converter

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
]
