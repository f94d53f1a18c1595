"""Campaigns: which question each asks, which tasks answer it, and which results they brought."""
