"""URL table: pages, admin, REST API and its documentation."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from campaigns.api.errors import UnknownPathView
from workers.protocol import API_PREFIX
from xeenet_site.health import healthz, readyz
from xeenet_site.metrics import metrics_page

handler400 = "xeenet_site.errors.bad_request"
handler500 = "xeenet_site.errors.server_error"

urlpatterns = [
    path("", include("campaigns.urls")),
    path("", include("workers.urls")),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics_page, name="metrics"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path(API_PREFIX.lstrip("/"), include("campaigns.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    re_path("^api/", UnknownPathView.as_view(), name="api-nothing"),
]
