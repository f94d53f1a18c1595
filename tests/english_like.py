"""The generated corpus, made once per process: making it takes half a second of a processor."""

from __future__ import annotations

import functools

from experiments import english_like_corpus


@functools.cache
def corpus() -> bytes:
    """Return the text of the data set english_like."""
    return english_like_corpus.generate()
