"""Request bodies that break careless servers: name -> (bytes, part of our error message)."""

from __future__ import annotations

from typing import Final

from campaigns.api.parsers import MAX_BODY_BYTES

HOSTILE_BODIES: Final[dict[str, tuple[bytes, str]]] = {
    "NaN": (b'{"a": NaN}', "NaN is not a JSON number"),
    "Infinity": (b'{"a": Infinity}', "Infinity is not a JSON number"),
    "minus Infinity": (b'{"a": [-Infinity]}', "-Infinity is not a JSON number"),
    "a float beyond double": (b'{"a": 1e400}', "too large"),
    "a long float": (b'{"a": 1.' + b"1" * 5000 + b"}", "more than 64 characters"),
    "an integer beyond 64 bits": (b'{"a": 9223372036854775808}', "64 bits"),
    "a negative integer beyond 64 bits": (b'{"a": -9223372036854775809}', "64 bits"),
    "an integer of 5,000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "more than 30 digits"),
    "an escaped NUL": (b'{"a": "x\\u0000y"}', "NUL"),
    "an escaped NUL in a key": (b'{"x\\u0000y": 1}', "NUL"),
    "a raw NUL": (b'{"a": "x\0y"}', "not JSON"),
    "a lone surrogate": (b'{"a": "\\ud800"}', "surrogate"),
    "a lone surrogate in a key": (b'{"a": {"\\udfff": 1}}', "surrogate"),
    "surrogates the wrong way round": (b'{"a": "\\ude00\\ud83d"}', "surrogate"),
    "a duplicate key": (b'{"a": 1, "a": 2}', "'a' stands twice"),
    "a duplicate key further down": (b'{"b": [{"a": 1, "\\u0061": 2}]}', "'a' stands twice"),
    "33 levels": (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "nested deeper than 32"),
    "100,000 levels": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper than 32"),
    "100,000 objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper than 32"),
    "100,000 levels never closed": (b"[" * 100_000, "nested deeper than 32"),
    "350,000 lists": (b'{"a":[' + b"[]," * 349_000 + b"[]]}", "more than 50000 objects"),
    "one byte too many": (b'{"a": "' + b"x" * (MAX_BODY_BYTES - 8) + b'"}', "larger than"),
    "bad UTF-8": (b'{"a": "\xff"}', "not UTF-8: byte 7"),
    "a surrogate as UTF-8": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
    "half an object": (b'{"a": ', "not JSON"),
    "two objects": (b"{}{}", "not JSON"),
    "only space": (b"  ", "not JSON"),
    "a list": (b"[]", "must be a JSON object"),
    "a text": (b'"a"', "must be a JSON object"),
    "a number": (b"1", "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
}
