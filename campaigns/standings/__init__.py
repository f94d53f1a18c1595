"""Who leads and how far a campaign is: leaderboard, board, progress, counts, summaries."""
