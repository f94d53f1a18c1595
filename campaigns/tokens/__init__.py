"""People's personal tokens, and who a request with one comes from."""
