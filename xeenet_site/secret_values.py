"""Secrets of the server: from the environment, or from files that it names.

Container engines mount secrets as files. A variable shows in `inspect`, in the environment of every
child and in dumps; a file does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def secret(name: str, variables: Mapping[str, str]) -> str:
    """Return the variable `name`, or the text of the file that `name`_FILE names; else "".

    Blanks and line ends around a file's text do not count. Raises ImproperlyConfigured when both
    are set, and for a file that cannot be read or is empty.
    """
    value, file = variables.get(name, ""), variables.get(f"{name}_FILE", "")
    if not file:
        return value
    if value:
        raise ImproperlyConfigured(f"Both {name} and {name}_FILE are set: unset one of them.")
    try:
        text = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ImproperlyConfigured(
            f"{name}_FILE names {file}, which cannot be read: {reason}. Name a file that the "
            "server's account may read."
        ) from error
    if not text:
        raise ImproperlyConfigured(f"{name}_FILE names {file}, which is empty. Put the secret in.")
    return text
