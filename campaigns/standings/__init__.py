"""Who leads a campaign, and how far is it? Leaderboard, progress, task counts and summaries."""
