"""The variables that the server and the agent read, as their source names them."""

from __future__ import annotations

import re
from typing import Final

from tests.processes import ROOT
from workers.agent.ephemeral.machine_key import MACHINE_VARIABLE
from workers.agent.secrecy import ENROLMENT_VARIABLE, FLEET_VARIABLE, TOKEN_VARIABLE
from workers.agent.state import HOME_VARIABLE

AGENT_VARIABLES: Final = frozenset(
    {ENROLMENT_VARIABLE, FLEET_VARIABLE, HOME_VARIABLE, MACHINE_VARIABLE, TOKEN_VARIABLE}
)
_READ: Final = re.compile(r"""\benv\.\w+\(\s*"([A-Z_]+)\"""")
_SECRET: Final = re.compile(r"""\bsecret\(\s*"([A-Z_]+)\"""")
# Read by prometheus_client.
_OF_LIBRARIES: Final = frozenset({"PROMETHEUS_MULTIPROC_DIR"})


def server_secrets() -> set[str]:
    """Return the variables that can also be given as files."""
    return set(_SECRET.findall((ROOT / "xeenet_site/settings.py").read_text()))


def server_variables() -> set[str]:
    """Return every variable that the settings read."""
    plain = set(_READ.findall((ROOT / "xeenet_site/settings.py").read_text()))
    secrets = server_secrets()
    return plain | secrets | {f"{name}_FILE" for name in secrets} | _OF_LIBRARIES
