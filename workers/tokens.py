"""Bearer tokens: made once, shown once, stored as a hash.

A token carries 256 random bits, so a fast hash is enough: there is nothing to guess by trying,
and a password hasher would cost every request most of a second.
"""

import hashlib
import secrets
from typing import Final

WORKER_PREFIX: Final = "xw_"
PERSONAL_PREFIX: Final = "xp_"
ENROLMENT_PREFIX: Final = "xe_"


def new_token(prefix: str) -> str:
    """Return a new secret whose prefix tells people (and secret scanners) what it opens."""
    return prefix + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the hex SHA-256 under which a token is stored and looked up.

    The look-up by hash is an index search over values an attacker cannot choose bit by bit, so
    its timing says nothing about the token.
    """
    return hashlib.sha256(token.encode()).hexdigest()
