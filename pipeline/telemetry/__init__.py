"""What a run reports while it works and when it ends: progress, logs, health check pings, metrics."""
