"""The REST API under /api/v1/: leases for agents, campaigns and results for researchers."""
