"""The admin pages of campaigns. Django imports this package; its modules register the pages."""

from campaigns.admin import arms, campaigns, people, scripts

__all__ = ["arms", "campaigns", "people", "scripts"]
