"""Live detection of write conflicts and audit of generated ids, from both binary logs."""
