"""Pages of workers."""

from django.urls import path

from workers import views

urlpatterns = [
    path("workers/", views.worker_list, name="workers"),
    path("workers/invite/", views.invite, name="worker-invite"),
    path("workers/<int:pk>/", views.worker, name="worker"),
]
