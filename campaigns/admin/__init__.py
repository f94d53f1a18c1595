"""The admin pages of campaigns. Django imports this package; its modules register the pages."""

from campaigns.admin import campaigns, people, scripts

__all__ = ["campaigns", "people", "scripts"]
