"""Settings of the server that `bench_pages` measures: the product's own, plus a stopwatch.

The stopwatch is the outermost middleware. It adds three headers to each response and changes
nothing else. The product itself never loads it.
"""

from xeenet_site.settings import *  # noqa: F403 - these are the product's settings
from xeenet_site.settings import MIDDLEWARE as PRODUCT_MIDDLEWARE

MIDDLEWARE = ["benchmarks.pages_stopwatch.stopwatch", *PRODUCT_MIDDLEWARE]
