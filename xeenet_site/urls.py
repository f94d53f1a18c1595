"""URL table: pages, admin, REST API and its documentation."""

from django.contrib import admin
from django.contrib.auth.views import (
    LogoutView,
    PasswordChangeDoneView,
    PasswordChangeView,
)
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation

from campaigns.api.errors import UnknownPathView
from workers.protocol import API_PREFIX
from xeenet_site.first_account import first_account
from xeenet_site.health import healthz, readyz
from xeenet_site.metrics import metrics_page
from xeenet_site.sign_in import SignInView, admin_sign_in

handler400 = "xeenet_site.errors.bad_request"
handler500 = "xeenet_site.errors.server_error"


def _linear(route: URLPattern | URLResolver) -> URLPattern | URLResolver:
    """Return an address of the admin, "view on site" with ids that hold no slash.

    Django's own pattern has two parts that may each be anything, so it takes quadratic time on a
    path of slashes, for everybody.
    """
    if isinstance(route, URLPattern) and route.name == "view_on_site":
        return path("r/<int:content_type_id>/<str:object_id>/", route.callback, name=route.name)
    return route


urlpatterns = [
    path("", include("campaigns.urls")),
    path("", include("workers.urls")),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics_page, name="metrics"),
    path("login/", SignInView.as_view(), name="login"),
    path("first-account/", first_account, name="first-account"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/", PasswordChangeView.as_view(), name="password_change"),
    path("password/changed/", PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("admin/login/", admin_sign_in),
    path("admin/", ([_linear(route) for route in admin.site.get_urls()], "admin", "admin")),
    path(API_PREFIX.lstrip("/"), include("campaigns.api.urls")),
    path(
        "api/schema/",
        # YAML or JSON, as the client prefers; the rest of the API is always JSON.
        SpectacularAPIView.as_view(content_negotiation_class=DefaultContentNegotiation),
        name="api-schema",
    ),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    re_path("^api/", UnknownPathView.as_view(), name="api-nothing"),
]
