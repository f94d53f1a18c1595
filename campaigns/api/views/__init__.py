"""Endpoints of the REST API, one noun a file; a page of the same noun is named alike."""
