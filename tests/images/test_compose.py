"""compose.yaml: it keeps to its schema, names what exists, and starts nothing without secrets."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.management import get_commands

from tests.images import composed
from tests.images.composed import Missing
from tests.images.names import AGENT_VARIABLES, server_secrets, server_variables
from tests.processes import ROOT
from workers.agent import cli
from workers.agent.options import parser
from xeenet_site.checks import MIN_SECRET_LENGTH
from xeenet_site.running import probe

FOLDER: Final = ROOT / "packaging" / "images"
REQUIRED: Final = ("XEENET_HOST", "XEENET_SECRETS")
GIVEN: Final = {"XEENET_HOST": "lab.example.org", "XEENET_SECRETS": "/etc/xeenet/secrets"}
RAW: Final = composed.raw()
SERVICES: Final[dict[str, Any]] = RAW["services"]
OF_THE_SERVER: Final = ("migrate", "web", "jobs")
SECRET_NAME: Final = re.compile("SECRET|PASSWORD|TOKEN|KEY")


def example() -> dict[str, str]:
    """The lines of env.example, those behind a # too, each with its value."""
    lines = (FOLDER / "env.example").read_text().splitlines()
    matches = (re.fullmatch(r"(#?)([A-Z_]+)=(.*)", line) for line in lines)
    return {match[1] + match[2]: match[3] for match in matches if match}


def test_it_keeps_to_the_schema_of_compose_files() -> None:
    words = ["--builtin-schema", "vendor.compose-spec", str(composed.FILE)]
    answer = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [{}, {"": ""}])
def test_nothing_starts_without_a_name_and_secrets_and_it_says_how_to_make_them(
    name: str, value: dict[str, str]
) -> None:
    variables = {key: text for key, text in GIVEN.items() if key != name}
    with pytest.raises(Missing, match=f"{name} is not set"):
        composed.composed(variables | ({name: ""} if value else {}))
    script = re.search(r"Run (\S+\.sh)", str(RAW["secrets"]))
    assert script is not None
    assert (ROOT / script[1]).is_file()


def test_the_example_names_every_variable_and_fills_in_no_secret() -> None:
    text = composed.FILE.read_text()
    lines = example()
    assert {name.lstrip("#") for name in lines} == composed.names_in(text)
    assert {name for name in lines if not name.startswith("#")} == set(REQUIRED)
    assert {lines[name] for name in REQUIRED} == {""}
    for name, value in lines.items():
        default = re.search(rf"\$\{{{name.lstrip('#')}:-([^}}]*)\}}", text)
        if default is not None and default[1] and name != "#SECURE_HSTS_SECONDS":
            assert value == default[1], name


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_has_a_value_that_others_know(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if not SECRET_NAME.search(variable):
            continue
        if variable.endswith("_FILE"):
            secret = value.removeprefix("/run/secrets/")
            assert secret in service["secrets"]
            assert secret in RAW["secrets"]
        else:
            assert value == f"${{{variable}:-}}"
    address = service.get("environment", {}).get("DATABASE_URL", "")
    assert ":" not in address.removeprefix("postgresql://").partition("@")[0]


@pytest.mark.parametrize("name", OF_THE_SERVER)
def test_the_server_knows_every_variable_and_gets_its_secrets_as_files(name: str) -> None:
    variables = SERVICES[name]["environment"]
    assert set(variables) <= server_variables()
    assert {f"{key}_FILE" for key in ("SECRET_KEY", "DATABASE_PASSWORD")} <= set(variables)
    assert {"SECRET_KEY", "DATABASE_PASSWORD"} <= server_secrets()
    documented = (ROOT / "docs" / "settings.md").read_text()
    assert not [key for key in variables if f"`{key}`" not in documented]


def test_the_commands_of_the_server_exist() -> None:
    words = " ".join(" ".join(SERVICES[name].get("command", [])) for name in OF_THE_SERVER)
    commands = re.findall(r"\./manage\.py (\w+)", words)
    assert set(commands) == {"check", "migrate", "qcluster"}
    assert set(commands) <= set(get_commands())
    assert (ROOT / "manage.py").stat().st_mode & 0o111


def test_the_worker_is_started_with_options_and_variables_that_it_knows() -> None:
    worker = SERVICES["worker"]
    options = parser().parse_args(worker["command"])
    assert options.no_simulate
    assert set(worker["environment"]) <= AGENT_VARIABLES
    caddy = (FOLDER / "Caddyfile").read_text()
    assert f"{options.server} {{" in caddy


def test_checks_of_health_run_what_exists() -> None:
    checks = {name: service.health for name, service in composed.composed(GIVEN).services.items()}
    assert checks["web"] is not None
    assert checks["worker"] is not None
    assert checks["web"][-1] in probe.PATHS
    assert importlib.util.find_spec(checks["web"][-2]) is not None
    assert checks["worker"][0] == "xeenet-worker"
    assert checks["worker"][1] in cli._COMMANDS


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_declared(name: str) -> None:
    service = SERVICES[name]
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
    assert set(service["networks"]) <= set(RAW["networks"])
    assert set(service.get("secrets", [])) <= set(RAW["secrets"])
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith(".") else source in RAW["volumes"]
    if (build := service.get("build")) is not None:
        assert (ROOT / build["dockerfile"]).is_file()
    assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_only_the_proxy_is_reached_from_outside_and_the_worker_reaches_only_it() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert SERVICES["worker"]["networks"] == ["workers"]
    beside = [name for name, service in SERVICES.items() if "workers" in service["networks"]]
    assert beside == ["proxy", "worker"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "db"])
def test_a_service_cannot_change_its_image_and_has_no_rights_to_spare(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]


def test_tables_change_once_before_anything_serves() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    for name in ("web", "jobs"):
        after = SERVICES[name]["depends_on"]["migrate"]
        assert after == {"condition": "service_completed_successfully"}
        assert "migrate" not in str(SERVICES[name].get("command", ""))


def test_the_proxy_leads_to_the_web_server_by_the_name_that_it_accepts() -> None:
    caddy = (FOLDER / "Caddyfile").read_text()
    assert set(re.findall(r"\{\$(\w+)\}", caddy)) == set(SERVICES["proxy"]["environment"])
    assert set(re.findall(r"reverse_proxy (\S+)", caddy)) == {"web:8000"}
    assert SERVICES["web"]["environment"]["ALLOWED_HOSTS"].startswith("${XEENET_HOST:?")
    assert SERVICES["web"]["environment"]["XEENET_TRUSTED_PROXIES"] == "1"


def test_secrets_are_long_and_random_and_stay_when_they_are_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["sh", str(FOLDER / "make-secrets.sh"), str(folder)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"XEENET_SECRETS={folder}" in printed
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(texts) == set(RAW["secrets"])
    assert all(len(text) >= MIN_SECRET_LENGTH for text in texts.values())
    assert len(set(texts.values())) == len(texts)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    subprocess.run(command, capture_output=True, check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == texts


def test_making_secrets_needs_to_know_the_folder() -> None:
    command = ["sh", str(FOLDER / "make-secrets.sh")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "make-secrets.sh secrets" in answer.stderr


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A:-b}", "b"),
        ("${B:-b}/c", "given/c"),
        ("${B:?needed}", "given"),
        ("${A}", ""),
        ("$$A", "$A"),
    ],
)
def test_variables_are_filled_in_as_engines_do(text: str, filled: str) -> None:
    assert composed.fill_in(text, {"A": "", "B": "given"}) == filled
