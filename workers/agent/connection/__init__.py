"""How the agent talks to the server: bounded requests, and which answers it believes."""
