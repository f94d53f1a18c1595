"""What does a step of a config cost, and how much work is so much time? Pure."""
