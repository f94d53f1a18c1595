"""Fixtures of the tests that run tasks."""

from __future__ import annotations

from tests.agent.tasks.bench import bench

__all__ = ["bench"]
