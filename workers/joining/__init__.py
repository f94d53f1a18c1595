"""How does a machine become a worker?

`program` is the agent as a file that this server hands out, `folders` are those for people without
a shell, `lines` what to type on the new
machine, `progress` how far an invitation has come, `here` a worker on the server's own machine.
"""
