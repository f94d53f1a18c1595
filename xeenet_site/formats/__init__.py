"""Date formats of the admin; the pages show times relative to now instead."""
