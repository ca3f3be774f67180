"""The pure core: what was seen, what it means, what to do.

Nothing in here touches a clock, a socket, a thread, a random number or a log, and it imports the
standard library and itself only (a test enforces both). Time arrives as a field of an observation.
"""
