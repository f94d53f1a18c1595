"""The worker's own page: what the agent is doing, in a browser, on loopback, while asked for.

`asking.ask_for_page` is how other programs get its address from a running agent.
"""
