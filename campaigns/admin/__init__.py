"""The admin of campaigns. Django imports this package, and each module registers its pages."""

from campaigns.admin import campaigns, people, scripts

__all__ = ["campaigns", "people", "scripts"]
