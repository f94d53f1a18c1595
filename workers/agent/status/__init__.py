"""What the agent is doing: one state behind log, card and `status`, and the tasks' history."""
