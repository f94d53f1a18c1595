"""A server that tells a demand, and nothing else, to whoever has the fleet token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.agent.server import AgentServer, Reply, error
from workers.protocol import FLEET_DEMAND_PATH, ErrorCode, FleetDemand

FLEET_TOKEN = "xf_test-token-of-a-fleet"


def demand(
    claimable: int = 0, leased: int = 0, live: int = 0, wanted: int | None = None, **more: Any
) -> FleetDemand:
    """Return a demand whose tasks run anywhere."""
    figures: dict[str, Any] = {
        "claimable": claimable,
        "leased": leased,
        "live_workers": live,
        "wanted_workers": claimable + leased if wanted is None else wanted,
    }
    need = {"device": "any", "tier": "T0", **figures}
    whole = {**figures, "oldest_wait_seconds": 1.5 if claimable else None, "max_live": 50}
    return {**whole, "needs": [need], **more}  # type: ignore[typeddict-item]


class DemandServer(AgentServer):
    """Answers with `demand`; `tokens` are those that arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.demand: FleetDemand = demand()
        self.tokens: list[str] = []

    def handle(self, method: str, path: str, body: Any, authorization: str) -> Reply:
        self.tokens.append(authorization)
        if replies := self.scripted[FLEET_DEMAND_PATH]:
            return replies.pop(0)
        if authorization != f"Bearer {FLEET_TOKEN}":
            return error(401, ErrorCode.NOT_AUTHENTICATED, "Unknown token.")
        if path != FLEET_DEMAND_PATH:
            return error(404, ErrorCode.NOT_FOUND)
        return Reply(200, self.demand)


def token_file(folder: Path) -> Path:
    """Return a file with the fleet token that its owner alone reads."""
    file = folder / "fleet-token"
    file.touch(mode=0o600)
    file.write_text(FLEET_TOKEN + "\n")
    return file
