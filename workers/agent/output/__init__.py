"""What a script printed: its result line, its learning curve, and why it failed. Pure."""
