"""HAProxy: its adapter, its configuration, and the script by which clients wait in it."""
