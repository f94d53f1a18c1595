"""Settings of the XeeNet server: one file, configured by environment variables.

Development (the default) runs on SQLite with a secret key that is generated once and kept in
``XEENET_HOME``. Production (``XEENET_ENV=production``) requires ``SECRET_KEY`` and
``ALLOWED_HOSTS``, which have no safe default, and turns on HTTPS-only cookies, redirects to HTTPS
and HSTS. `docs/settings.md` lists every variable.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import environ
import fontpkg_ibm_plex_mono
import plotly
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from django.urls import reverse_lazy
from whitenoise.compress import Compressor

from xeenet_site import admin_look, databases, front_door, logs, security
from xeenet_site.secret_values import secret

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
    """Return SECRET_KEY; in development generate it on first use and keep it outside git.

    Web server and q-cluster check each other's signatures, so both must read the same key. Raises
    ImproperlyConfigured when production has no key or the file cannot be written.
    """
    if given := secret("SECRET_KEY", os.environ):
        return given
    if PRODUCTION:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set, nor SECRET_KEY_FILE. In production set it to a long random "
            "text and keep it; web server and q-cluster must share it."
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
    """Create a file atomically, readable by its owner alone; the first of several writers wins."""
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


def _base_path() -> str:
    """Return the path below which XeeNet lives, like "/lab/xeenet"; "" at the root of its host.

    Raises ImproperlyConfigured for a path that is none.
    """
    parts: str = env.str("XEENET_BASE_PATH", default="").strip("/")
    path = f"/{parts}" if parts else ""
    if problem := front_door.base_path_problem(path):
        raise ImproperlyConfigured(f"XEENET_BASE_PATH is {path!r}: it {problem}.")
    return path


BASE_PATH = _base_path()
# Django puts this before every address that it makes, also in commands and background jobs.
FORCE_SCRIPT_NAME = BASE_PATH or None

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
    "xeenet_site.short_way.ShortWayMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "xeenet_site.middleware.CompressPagesMiddleware",
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
    """Return Django's settings for one database URL (sqlite:///… or postgresql://…).

    A URL without a password takes that of DATABASE_PASSWORD.
    """
    config: dict[str, Any] = env.db_url_config(url)
    config["PASSWORD"] = config.get("PASSWORD") or secret("DATABASE_PASSWORD", os.environ)
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

# Caches are per process. The keys in "default" contain the campaign's revision, so no process
# serves stale values.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # Separate caches: "default" holds 300 entries at most and would evict these. The first two have
    # an entry for each worker of a fleet.
    "classes": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "classes",
        "OPTIONS": {"MAX_ENTRIES": 50_000},
    },
    "speeds": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "speeds",
        "OPTIONS": {"MAX_ENTRIES": 50_000},
    },
    "throttles": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "throttles",
        "OPTIONS": {"MAX_ENTRIES": 50_000},
    },
}

# --- XeeNet's own settings ------------------------------------------------------------------------

# Durations are in seconds. The response to a claim contains those that the agent needs.
XEENET: dict[str, Any] = {
    "HEARTBEAT_SECONDS": env.float("XEENET_HEARTBEAT_SECONDS", default=10.0),
    "LEASE_SECONDS": env.float("XEENET_LEASE_SECONDS", default=45.0),
    # With more workers than send so many, interval and lease grow together: to 30 s at most.
    "HEARTBEATS_PER_SECOND": env.float("XEENET_HEARTBEATS_PER_SECOND", default=500.0),
    "SETUP_GRACE_SECONDS": env.float("XEENET_SETUP_GRACE_SECONDS", default=60.0),
    "KILL_GRACE_SECONDS": env.float("XEENET_KILL_GRACE_SECONDS", default=15.0),
    "SUBMIT_GRACE_SECONDS": env.float("XEENET_SUBMIT_GRACE_SECONDS", default=60.0),
    # An agent that got fewer tasks than it asked for waits this long (±50 % jitter) to claim again.
    "IDLE_WAIT_SECONDS": env.float("XEENET_IDLE_WAIT_SECONDS", default=3.0),
    # For this long after a task failed on a worker, only other workers may claim it.
    "OTHER_WORKER_FIRST_SECONDS": env.float("XEENET_OTHER_WORKER_FIRST_SECONDS", default=30.0),
    # A worker that reported env_error gets no task for this long; doubled for each one in a row.
    "WORKER_PAUSE_SECONDS": env.float("XEENET_WORKER_PAUSE_SECONDS", default=60.0),
    # A campaign to which an outside program adds tasks ends so long after its last ask.
    "ASK_TIMEOUT_SECONDS": env.float("XEENET_ASK_TIMEOUT_SECONDS", default=3600.0),
    # An ephemeral worker of a fleet is retired after this long without a call.
    "FLEET_SILENCE_SECONDS": env.float("XEENET_FLEET_SILENCE_SECONDS", default=600.0),
    "ENROLMENT_TOKEN_HOURS": env.float("XEENET_ENROLMENT_TOKEN_HOURS", default=24.0),
    # Let webhooks call private networks. Only safe if everybody who may create one is trusted.
    "WEBHOOK_ALLOW_PRIVATE": env.bool("XEENET_WEBHOOK_ALLOW_PRIVATE", default=False),
    # Limit for one whole delivery: connecting, sending, and reading the answer.
    "WEBHOOK_TIMEOUT_SECONDS": env.float("XEENET_WEBHOOK_TIMEOUT_SECONDS", default=10.0),
    # Send a notification when tasks wait and no worker has called for this long.
    "SILENT_FLEET_SECONDS": env.float("XEENET_SILENT_FLEET_SECONDS", default=300.0),
    # Statement timeout of exports, in effect the time to their first row. All other statements
    # have XEENET_STATEMENT_TIMEOUT_SECONDS.
    "EXPORT_STATEMENT_SECONDS": env.float("XEENET_EXPORT_STATEMENT_SECONDS", default=300.0),
    # Limits on the requests of one caller to one web server process; 0 means no limit.
    "CLAIMS_PER_MINUTE": env.int("XEENET_CLAIMS_PER_MINUTE", default=600),
    "HEARTBEATS_PER_MINUTE": env.int("XEENET_HEARTBEATS_PER_MINUTE", default=600),
    "SUBMITS_PER_MINUTE": env.int("XEENET_SUBMITS_PER_MINUTE", default=1200),
    "CALIBRATIONS_PER_MINUTE": env.int("XEENET_CALIBRATIONS_PER_MINUTE", default=12),
    "FLEET_DEMANDS_PER_MINUTE": env.int("XEENET_FLEET_DEMANDS_PER_MINUTE", default=120),
    "ENROLMENTS_PER_MINUTE": env.int("XEENET_ENROLMENTS_PER_MINUTE", default=120),
    "ANONYMOUS_REQUESTS_PER_MINUTE": env.int("XEENET_ANONYMOUS_REQUESTS_PER_MINUTE", default=600),
    # Lock sign-in for a name from an address after this many wrong passwords.
    "SIGN_IN_TRIES": env.int("XEENET_SIGN_IN_TRIES", default=5),
    "SIGN_IN_LOCK_SECONDS": env.float("XEENET_SIGN_IN_LOCK_SECONDS", default=900.0),
    # How many proxies of ours add to X-Forwarded-For; earlier entries are ignored as forgeable.
    "TRUSTED_PROXIES": env.int("XEENET_TRUSTED_PROXIES", default=1 if PRODUCTION else 0),
    # The token for /metrics. If empty: only this machine may read them, and nobody in production.
    "METRICS_TOKEN": secret("XEENET_METRICS_TOKEN", os.environ),
    # Whether visitors who are not signed in may read campaigns, tasks and workers.
    "ANONYMOUS_READ": env.bool("XEENET_ANONYMOUS_READ", default=not PRODUCTION),
}

# --- django-q2: scheduling and reaping ------------------------------------------------------------

Q_CLUSTER = {
    "name": "xeenet",
    "orm": "default",
    "workers": env.int("XEENET_Q_WORKERS", default=1),
    "timeout": 50,
    # Must be longer than the timeout, otherwise a job that still runs is started a second time.
    "retry": 120,
    "max_attempts": 1,
    "ack_failures": True,
    # Do not catch up missed runs after downtime: one sweep handles everything overdue.
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
    "DEFAULT_RENDERER_CLASSES": ["campaigns.api.renderers.StrictJSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "campaigns.api.parsers.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["campaigns.api.throttling.CallerThrottle"],
    "EXCEPTION_HANDLER": "campaigns.api.errors.exception_handler",
    # OPTIONS returns no metadata: the OpenAPI document describes the endpoints.
    "DEFAULT_METADATA_CLASS": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "XeeNet API",
    "DESCRIPTION": "Campaigns, tasks and results for researchers; leases for worker agents.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "PREPROCESSING_HOOKS": ["campaigns.api.openapi.without_old_addresses"],
    "SERVERS": [{"url": BASE_PATH}] if BASE_PATH else [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Several models have fields named "state" and the like: give each enum a distinct name.
    "ENUM_NAME_OVERRIDES": {
        "CampaignStateEnum": "campaigns.models.CampaignState",
        "TaskStateEnum": "campaigns.models.TaskState",
        "AttemptOutcomeEnum": "campaigns.models.AttemptOutcome",
        "RaceOutcomeEnum": "campaigns.models.RaceOutcome",
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

# An export has the same data as its list, so the permission to view suffices.
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "view"
UNFOLD = admin_look.UNFOLD

# --- Accounts -------------------------------------------------------------------------------------

# Django's own has the sessions from before the first.
AUTHENTICATION_BACKENDS = [
    "xeenet_site.accounts.AccountBackend",
    "django.contrib.auth.backends.ModelBackend",
]
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

STATIC_URL = f"{BASE_PATH}/static/"
STATIC_ROOT = Path(env.str("XEENET_STATIC_ROOT", default=str(XEENET_HOME / "static")))
STATICFILES_DIRS = [
    # Serve plotly.min.js from the installed package, so that pages need no other host.
    ("plotly", Path(plotly.__file__).parent / "package_data"),
    # The font for ids, code and numbers, from its package. Inter comes with the admin's.
    ("fonts/plex-mono", fontpkg_ibm_plex_mono.ROOT / "files"),
]
MEDIA_ROOT = Path(env.str("XEENET_MEDIA_ROOT", default=str(XEENET_HOME / "media")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "xeenet_site.static_storage.StaticStorage"},
}
# Source maps are only read by people who debug a package: do not spend time on compressing them.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")
WHITENOISE_ADD_HEADERS_FUNCTION = security.add_file_headers
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Security -------------------------------------------------------------------------------------

X_FRAME_OPTIONS = "DENY"
SESSION_ENGINE = "xeenet_site.sessions"
SESSION_COOKIE_HTTPONLY = True
# Below a path, cookies are neither sent to the other programs of that host nor taken from them.
SESSION_COOKIE_PATH = f"{BASE_PATH}/"
CSRF_COOKIE_PATH = f"{BASE_PATH}/"
# In the session: a cookie of messages would be sent to the whole host.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CSP = security.PAGES_POLICY
SECURE_CSP_BY_PATH = security.POLICY_BY_PATH
PERMISSIONS_POLICY = security.PERMISSIONS_POLICY
if PRODUCTION:
    # Health probes and scrapers bypass the proxy and use plain HTTP.
    SECURE_REDIRECT_EXEMPT = [
        rf"^{re.escape(f'{BASE_PATH}/'.removeprefix('/'))}(healthz|readyz|metrics)$"
    ]
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
