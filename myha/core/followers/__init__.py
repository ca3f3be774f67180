"""Read replicas beside the pair: what is known of each, what that means, what to do. Pure.

Each has its own record, view, situation, table and plans, and nothing of it is part of the pair's:
so whatever a replica does, or does not, a failover neither waits for it nor is refused for it.
What a replica's decisions need of the pair is read there, and never written.
"""
