"""Before a campaign runs: its preview, its forecast, and cloning an earlier one."""
