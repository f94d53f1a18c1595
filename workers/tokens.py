"""Bearer tokens: made once, shown once, stored as a hash.

A token carries 256 random bits and cannot be guessed, so a fast hash is enough; a password hasher
would cost every request most of a second.
"""

import hashlib
import secrets
from typing import Final

WORKER_PREFIX: Final = "xw_"
PERSONAL_PREFIX: Final = "xp_"
ENROLMENT_PREFIX: Final = "xe_"
FLEET_PREFIX: Final = "xf_"


def new_token(prefix: str) -> str:
    """Return a new secret whose prefix tells people and secret scanners what kind it is."""
    return prefix + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the hex SHA-256 under which a token is stored and looked up.

    An attacker cannot choose the hash bit by bit, so the timing of the index search reveals
    nothing about the token.
    """
    return hashlib.sha256(token.encode()).hexdigest()
