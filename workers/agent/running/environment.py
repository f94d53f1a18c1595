"""The clean environment of every script: an allow-list keeps the agent's secrets out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

DATA_DIR_VARIABLE: Final = "XEENET_DATA_DIR"

_ALLOWED: Final = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    *("SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS"),  # Windows needs them
)
# The address of a proxy may contain a password: only the download step gets it.
_ALLOWED_FOR_DOWNLOADS: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)


def script_environment(
    folder: Path,
    data_folder: Path,
    *,
    threads: int | None = None,
    downloads: bool = False,
    user_base: str = "",
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment for a script that works in ``folder``.

    Home and temporary files lie in the folder, so that the clean-up removes them. ``user_base`` is
    where its Python finds its user's packages, torch perhaps: HOME no longer leads there.
    ``extra``, the variables that the hardware check found necessary, overrides everything else.
    """
    names = _ALLOWED + (_ALLOWED_FOR_DOWNLOADS if downloads else ())
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {
        "HOME": str(folder),
        "USERPROFILE": str(folder),
        "TMPDIR": str(folder),
        "TEMP": str(folder),
        "TMP": str(folder),
        DATA_DIR_VARIABLE: str(data_folder),
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",  # sets have the same order on every machine
    }
    if user_base:
        environment["PYTHONUSERBASE"] = user_base
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return environment | dict(extra or {})
