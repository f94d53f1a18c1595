"""Settings of the server that `bench_pages` measures: the product's own, with a stopwatch around.

The stopwatch is the outermost middleware. It adds two headers to each answer and changes nothing
else; the product itself never loads it.
"""

from xeenet_site.settings import *  # noqa: F403 - these are the product's settings
from xeenet_site.settings import MIDDLEWARE as PRODUCT_MIDDLEWARE

MIDDLEWARE = ["benchmarks.pages_stopwatch.stopwatch", *PRODUCT_MIDDLEWARE]
