"""The worker as a desktop program: its page in a window, and a first start without a shell.

The program that is started looks after three others, each a process of its own: the agent, the
window and the tray icon. A window that crashes or a tray that a desktop does not show costs the
agent nothing.
"""
