"""Writes a download to its place: complete, verified and within its bounds, or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

import httpx2

from workers.agent.connection.exchange import bounded_chunks
from workers.agent.connection.server_errors import ContentMismatch
from workers.agent.disk import TEMPORARY_PREFIX, free_bytes

_DISK_CHECK_BYTES: Final = 16 * 1024 * 1024  # how often a download looks at the free disk space


def store_download(
    response: httpx2.Response,
    path: str,
    target: Path,
    sha256: str,
    max_bytes: int,
    floor_bytes: int,
) -> None:
    """Write the body of ``response`` to ``target``. Raises `ContentMismatch`, OSError."""
    length = response.headers.get("Content-Length", "")
    coded = response.headers.get("Content-Encoding", "")
    if not coded and length.isascii() and length.isdigit() and int(length[:30]) > max_bytes:
        raise ContentMismatch(f"{path} is larger than the {max_bytes:,} bytes due")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size, unchecked = hashlib.sha256(), 0, _DISK_CHECK_BYTES
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in bounded_chunks(response):
                size += len(chunk)
                unchecked += len(chunk)
                if size > max_bytes:
                    raise ContentMismatch(f"{path} is larger than the {max_bytes:,} bytes due")
                if floor_bytes and unchecked >= _DISK_CHECK_BYTES:
                    unchecked = 0
                    if free_bytes(target.parent) < floor_bytes + _DISK_CHECK_BYTES:
                        raise OSError(f"the disk of {target.parent} is nearly full")
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            raise ContentMismatch(f"{path} has SHA-256 {digest.hexdigest()[:12]} instead")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
