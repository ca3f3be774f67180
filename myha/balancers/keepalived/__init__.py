"""keepalived: its configuration, and the script by which it asks the HAProxy of its host."""
