"""Secrets of the server from files, and the password of the database beside its URL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.processes import ROOT
from xeenet_site.secret_values import secret

# Prints what the settings made of the environment.
_LOOK = """
from xeenet_site import settings
print(settings.SECRET_KEY, settings.DATABASES["default"]["PASSWORD"],
      settings.XEENET["METRICS_TOKEN"])
"""


def test_a_secret_comes_from_its_variable_or_from_the_file_that_another_names(
    tmp_path: Path,
) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    assert secret("KEY", {}) == ""
    assert secret("KEY", {"KEY": "from the variable", "KEY_FILE": ""}) == "from the variable"
    assert secret("KEY", {"KEY_FILE": str(file)}) == "from the file"


def test_a_file_that_gives_no_secret_is_refused_by_name(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    for path, reason in [
        (tmp_path / "missing", "No such file"),
        (tmp_path, "Is a directory"),
        (binary, "not text"),
        (empty, "is empty"),
    ]:
        with pytest.raises(ImproperlyConfigured, match=f"KEY_FILE names {path}.*{reason}"):
            secret("KEY", {"KEY_FILE": str(path)})


def test_a_variable_and_a_file_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="Both KEY and KEY_FILE are set"):
        secret("KEY", {"KEY": "one", "KEY_FILE": str(tmp_path)})


@pytest.mark.parametrize(
    ("user", "password"), [("xeenet", "from the file"), ("xeenet:in-the-url", "in-the-url")]
)
def test_the_settings_take_all_three_secrets_from_files(
    user: str, password: str, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": f"postgresql://{user}@localhost/xeenet"}
    for name in ("SECRET_KEY", "DATABASE_PASSWORD", "XEENET_METRICS_TOKEN"):
        path = tmp_path / name
        path.write_text("from the file")
        variables[f"{name}_FILE"] = str(path)
    kept = {name: text for name, text in os.environ.items() if f"{name}_FILE" not in variables}
    answer = subprocess.run(
        [sys.executable, "-c", _LOOK],
        cwd=ROOT,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == f"from the file {password} from the file"
