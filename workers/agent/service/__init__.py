"""Starts the agent with the machine or the session: systemd, launchd, or Windows' start-up folder.

`plan` says what would be written and run, `install` does it and keeps a record, by which it is
undone. Nothing here needs administrator rights.
"""
