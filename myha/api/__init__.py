"""HTTP for operators and programs: the API, the metrics, the event stream, the page.

A process of its own, which knows the supervisor only by its control socket, and reads the journal
and the quarantine as any command does: whatever is sent to it, no failover waits for that.
"""
