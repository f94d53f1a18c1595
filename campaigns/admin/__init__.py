"""The admin pages of campaigns. Django imports this package; its modules register the pages."""

from campaigns.admin import arms, campaigns, classes, people, scripts, shares

__all__ = ["arms", "campaigns", "classes", "people", "scripts", "shares"]
