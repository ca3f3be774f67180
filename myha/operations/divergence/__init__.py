"""Seeing that a node's data have left the writer's, and showing what is different and why.

Nothing here changes a server. `errant` finds transactions that only the node has, `shown` reads
them out of its binary log, `replication_error` explains why its applier has stopped.
"""
