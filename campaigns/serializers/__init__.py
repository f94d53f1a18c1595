"""Shapes of requests and replies, one noun a file, for the endpoints and for the answers."""
