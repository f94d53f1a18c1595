"""URLs of the pages of workers."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from workers import views
from workers.joining import fleets
from workers.joining import views as joining


class WorkerVerb(StringConverter):
    """Matches the verbs that the buttons of the worker's page send."""

    regex = "|".join(views.VERBS)


register_converter(WorkerVerb, "worker_verb")

urlpatterns = [
    path("workers/", views.worker_list, name="workers"),
    path("workers/invite/", joining.invite, name="worker-invite"),
    path(
        "workers/invitations/<int:pk>/withdraw/",
        joining.withdraw_invitation,
        name="worker-invitation-withdraw",
    ),
    path("workers/invitations/<int:pk>/", joining.invitation, name="worker-invitation"),
    path("workers/fleets/", fleets.fleets, name="fleets"),
    path("workers/fleets/<int:pk>/revoke/", fleets.revoke_fleet, name="fleet-revoke"),
    path("workers/join/", joining.join, name="worker-join"),
    path("workers/program/<str:name>", joining.send_program, name="worker-program"),
    path("workers/here/", joining.run_here, name="worker-here"),
    path("workers/<int:pk>/", views.worker, name="worker"),
    path("workers/<int:pk>/attempts.csv", views.worker_csv, name="worker-csv"),
    path("workers/<int:pk>/token/", views.rotate_token, name="worker-token"),
    path("workers/<int:pk>/<worker_verb:verb>/", views.change_worker, name="worker-change"),
]
