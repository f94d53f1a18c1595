"""Running the server from the command line: child processes, ports, environments."""
