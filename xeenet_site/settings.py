"""Settings of the XeeNet server: one file, driven by the environment.

Development (the default) runs on SQLite with a secret key that is generated once and kept in
``XEENET_HOME``. Production (``XEENET_ENV=production``) demands what must not be guessed:
``SECRET_KEY`` and ``ALLOWED_HOSTS``, and turns HTTPS-only cookies, redirects and HSTS on.
The README lists every variable.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import environ
import plotly
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from django.urls import reverse_lazy

from xeenet_site import admin_look, databases, logs, security

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

ENVIRONMENT = env.str("XEENET_ENV", default="development")
if ENVIRONMENT not in {"development", "production"}:
    raise ImproperlyConfigured(
        f"XEENET_ENV is {ENVIRONMENT!r}; set it to 'development' or 'production'."
    )
PRODUCTION = ENVIRONMENT == "production"
DEBUG = env.bool("DEBUG", default=False)

# Everything this server writes to disk: secret key, SQLite file, data sets.
XEENET_HOME = Path(env.str("XEENET_HOME", default=str(BASE_DIR / ".xeenet")))


def _secret_key() -> str:
    """Return SECRET_KEY; in development make one on first use and keep it outside git.

    Web server and q-cluster sign for each other, so both must read the same key.
    """
    given: str = env.str("SECRET_KEY", default="")
    if given:
        return given
    if PRODUCTION:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. In production set it to a long random text and keep it; "
            "web server and q-cluster must share it."
        )
    path = XEENET_HOME / "secret_key"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _publish_once(path, get_random_secret_key())
        except OSError as error:
            raise ImproperlyConfigured(
                f"Cannot write {path}: {error.strerror}. Make the folder writable, or name "
                "another with XEENET_HOME."
            ) from error
    return path.read_text().strip()


def _publish_once(path: Path, text: str) -> None:
    """Write a file for the owner's eyes that appears whole or not at all; the first writer wins."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()


SECRET_KEY = _secret_key()

ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"]
)
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS is not set. In production set it to the host names that browsers and "
        "agents use, separated by commas."
    )
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.import_export",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "django_q",
    "import_export",
    "workers",
    "campaigns",
    "xeenet_site",
]

MIDDLEWARE = [
    "xeenet_site.middleware.RequestMiddleware",
    "xeenet_site.middleware.SecurityHeadersMiddleware",
    "xeenet_site.middleware.LengthRequiredMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "xeenet_site.urls"
WSGI_APPLICATION = "xeenet_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "xeenet_site.web.pages.roles_context",
            ],
        },
    },
]

# --- Database -------------------------------------------------------------------------------------


def database_config(url: str) -> dict[str, Any]:
    """Return Django's settings for one database URL (sqlite:///… or postgresql://…)."""
    config: dict[str, Any] = env.db_url_config(url)
    return databases.with_limits(
        config,
        statement_seconds=env.float("XEENET_STATEMENT_TIMEOUT_SECONDS", default=30.0),
        lock_seconds=env.float("XEENET_LOCK_TIMEOUT_SECONDS", default=10.0),
        idle_seconds=env.float("XEENET_IDLE_TRANSACTION_SECONDS", default=60.0),
    )


DATABASES = {
    "default": database_config(
        env.str("DATABASE_URL", default=f"sqlite:///{XEENET_HOME / 'xeenet.sqlite3'}")
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Per process. "default" holds what is found by a campaign's revision, so no process is out of date.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # Of its own: the default's 300 entries would push counters out.
    "throttles": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "throttles",
        "OPTIONS": {"MAX_ENTRIES": 50_000},
    },
}

# --- What XeeNet itself can be told ---------------------------------------------------------------

# Durations are seconds; each claim sends its agent the ones it needs.
XEENET: dict[str, Any] = {
    "HEARTBEAT_SECONDS": env.float("XEENET_HEARTBEAT_SECONDS", default=10.0),
    "LEASE_SECONDS": env.float("XEENET_LEASE_SECONDS", default=45.0),
    "SETUP_GRACE_SECONDS": env.float("XEENET_SETUP_GRACE_SECONDS", default=60.0),
    "KILL_GRACE_SECONDS": env.float("XEENET_KILL_GRACE_SECONDS", default=15.0),
    "SUBMIT_GRACE_SECONDS": env.float("XEENET_SUBMIT_GRACE_SECONDS", default=60.0),
    # Before the next claim of an agent that got too little; jittered by ±50 %.
    "IDLE_WAIT_SECONDS": env.float("XEENET_IDLE_WAIT_SECONDS", default=3.0),
    # A task that failed on one worker is kept for the others this long.
    "OTHER_WORKER_FIRST_SECONDS": env.float("XEENET_OTHER_WORKER_FIRST_SECONDS", default=30.0),
    # A worker that reported env_error gets nothing for this long; doubled each time in a row.
    "WORKER_PAUSE_SECONDS": env.float("XEENET_WORKER_PAUSE_SECONDS", default=60.0),
    "ENROLMENT_TOKEN_HOURS": env.float("XEENET_ENROLMENT_TOKEN_HOURS", default=24.0),
    # Webhooks may call private networks: only where everybody who may make one is trusted.
    "WEBHOOK_ALLOW_PRIVATE": env.bool("XEENET_WEBHOOK_ALLOW_PRIVATE", default=False),
    # For one whole exchange with a receiver.
    "WEBHOOK_TIMEOUT_SECONDS": env.float("XEENET_WEBHOOK_TIMEOUT_SECONDS", default=10.0),
    # Tasks that wait so long while no worker calls are worth a notification.
    "SILENT_FLEET_SECONDS": env.float("XEENET_SILENT_FLEET_SECONDS", default=300.0),
    # For the first row of an export; statements of pages and API have the database's own limit.
    "EXPORT_STATEMENT_SECONDS": env.float("XEENET_EXPORT_STATEMENT_SECONDS", default=300.0),
    # Requests of one caller in each web server process; 0 for no limit.
    "CLAIMS_PER_MINUTE": env.int("XEENET_CLAIMS_PER_MINUTE", default=600),
    "HEARTBEATS_PER_MINUTE": env.int("XEENET_HEARTBEATS_PER_MINUTE", default=600),
    "SUBMITS_PER_MINUTE": env.int("XEENET_SUBMITS_PER_MINUTE", default=1200),
    "ENROLMENTS_PER_MINUTE": env.int("XEENET_ENROLMENTS_PER_MINUTE", default=120),
    "ANONYMOUS_REQUESTS_PER_MINUTE": env.int("XEENET_ANONYMOUS_REQUESTS_PER_MINUTE", default=600),
    # Wrong passwords for one name from one address, before both have to wait.
    "SIGN_IN_TRIES": env.int("XEENET_SIGN_IN_TRIES", default=5),
    "SIGN_IN_LOCK_SECONDS": env.float("XEENET_SIGN_IN_LOCK_SECONDS", default=900.0),
    # How many proxies in front add to X-Forwarded-For; what came before them is not believed.
    "TRUSTED_PROXIES": env.int("XEENET_TRUSTED_PROXIES", default=1 if PRODUCTION else 0),
    # Opens /metrics; empty: only to this machine, and in production to nobody.
    "METRICS_TOKEN": env.str("XEENET_METRICS_TOKEN", default=""),
    # Whether people who are not signed in may read campaigns, tasks and workers.
    "ANONYMOUS_READ": env.bool("XEENET_ANONYMOUS_READ", default=not PRODUCTION),
}

# --- django-q2: scheduling and reaping ------------------------------------------------------------

Q_CLUSTER = {
    "name": "xeenet",
    "orm": "default",
    "workers": env.int("XEENET_Q_WORKERS", default=1),
    "timeout": 50,
    # Must exceed the timeout, or a job that is still running starts a second time.
    "retry": 120,
    "max_attempts": 1,
    "ack_failures": True,
    # A cluster that was down does not owe the runs it missed: one sweep covers them all.
    "catch_up": False,
    "poll": 1,
    "save_limit": 1000,
    "label": "Background jobs",
}

# --- REST API -------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "campaigns.tokens.authentication.PersonalTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["campaigns.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "campaigns.api.parsers.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["campaigns.api.throttling.CallerThrottle"],
    "EXCEPTION_HANDLER": "campaigns.api.errors.exception_handler",
    # The OpenAPI document describes the endpoints; OPTIONS has nothing to add.
    "DEFAULT_METADATA_CLASS": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "XeeNet API",
    "DESCRIPTION": "Campaigns, tasks and results for researchers; leases for worker agents.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Several models have a field of this name; each gets a name of its own in the document.
    "ENUM_NAME_OVERRIDES": {
        "CampaignStateEnum": "campaigns.models.CampaignState",
        "TaskStateEnum": "campaigns.models.TaskState",
        "AttemptOutcomeEnum": "campaigns.models.AttemptOutcome",
        "FailureClassEnum": "campaigns.models.FailureClass",
        "WorkerStateEnum": "workers.models.WorkerState",
        "WebhookEventEnum": "campaigns.models.WebhookEvent",
        "DeliveryStateEnum": "campaigns.models.DeliveryState",
        "TaskOriginEnum": "campaigns.models.TaskOrigin",
        "PackageOriginEnum": "campaigns.models.PackageOrigin",
        "IsolationTierEnum": "workers.models.ISOLATION_CHOICES",
    },
}

# --- Admin ----------------------------------------------------------------------------------------

# An export holds what its list shows: who may see the one may have the other.
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "view"
UNFOLD = admin_look.UNFOLD

# --- Accounts -------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = reverse_lazy("login")
LOGIN_REDIRECT_URL = reverse_lazy("overview")
LOGOUT_REDIRECT_URL = reverse_lazy("overview")

# --- Language, time, files ------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "xeenet_site.formats"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("XEENET_STATIC_ROOT", default=str(XEENET_HOME / "static")))
STATICFILES_DIRS = [
    # plotly.min.js out of the installed wheel: the pages need no other host.
    ("plotly", Path(plotly.__file__).parent / "package_data"),
]
MEDIA_ROOT = Path(env.str("XEENET_MEDIA_ROOT", default=str(XEENET_HOME / "media")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Security -------------------------------------------------------------------------------------

X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CSP = security.PAGES_POLICY
SECURE_CSP_BY_PATH = security.POLICY_BY_PATH
PERMISSIONS_POLICY = security.PERMISSIONS_POLICY
if PRODUCTION:
    # Whoever probes and scrapes comes past the proxy, by plain HTTP.
    SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# --- Logging --------------------------------------------------------------------------------------

LOGGING = logs.logging_config(
    production=PRODUCTION, level=env.str("LOG_LEVEL", default="INFO").upper()
)
