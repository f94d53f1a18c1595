"""Campaigns: what is asked, what runs, and what was found."""
