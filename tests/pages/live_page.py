"""A page that refreshes by what changed, asked as `live.js` asks, without a browser."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

from django.http import HttpResponse
from django.test import Client

from xeenet_site.web import live


class Page:
    """A page or panel that was loaded once. `hashes` and `after` are what it holds."""

    def __init__(self, client: Client, address: str) -> None:
        self.client, self.address = client, address
        self.markup = client.get(address).text
        self.hashes = dict.fromkeys(re.findall(r'data-v="([^"]+)"', self.markup))
        after = re.search(r'data-after="([^"]+)"', self.markup)
        self.after = after[1] if after else "-"
        live_address = re.search(r'data-live-url="([^"]+)"', self.markup)
        assert live_address, f"{address} does not refresh"
        assert live_address[1].replace("&amp;", "&") == address

    def refresh(self) -> HttpResponse:
        """Return the answer to a refresh, without taking it up."""
        header = f"{live.version()} {self.after} {''.join(self.hashes)}"
        headers = {live.HEADER: header, "Accept-Encoding": "gzip"}
        answer: HttpResponse = self.client.get(self.address, headers=headers)
        return answer

    def news(self) -> dict[str, Any]:
        """Return what a refresh brings, {} for nothing, and take it up."""
        answer = self.refresh()
        if answer.status_code == live.NOTHING_CHANGED:
            return {}
        assert answer.status_code == 200
        content = answer.content
        if answer.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        data: dict[str, Any] = json.loads(content)
        for markup in data.get("parts", {}).values():
            self.hashes |= dict.fromkeys(re.findall(r'data-v="([^"]+)"', markup))
        self.hashes |= dict.fromkeys(rows["v"] for rows in data.get("rows", {}).values())
        if "points" in data:
            self.after = data["points"]["total"]
        self.after = data.get("after", self.after)
        return data
