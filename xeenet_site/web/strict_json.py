"""JSON as its standard has it: no ``Infinity`` and no ``NaN``, which browsers refuse to read."""

from __future__ import annotations

import json
import math
from typing import Any

from django.utils.html import json_script
from django.utils.safestring import SafeString


def finite(data: Any) -> Any:
    """Return the data with null in place of each number that JSON does not have."""
    match data:
        case float():
            return data if math.isfinite(data) else None
        case dict():
            return {key: finite(value) for key, value in data.items()}
        case list() | tuple():
            return [finite(value) for value in data]
    return data


def figure_script(figure: Any, html_id: str) -> SafeString:
    """Return the script element that holds a figure for the page's charts."""
    return json_script(finite(figure), html_id)


def strict_dumps(data: Any, **arguments: Any) -> str:
    """Write data as JSON, with null in place of each number that JSON does not have."""
    return json.dumps(finite(data), allow_nan=False, **arguments)
