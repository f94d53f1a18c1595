"""What the server must hear of running and ended tasks: heartbeats and the outbox."""
