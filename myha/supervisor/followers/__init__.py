"""A lane for each read replica: its own loop, threads, connections and jobs, beside the pair's."""
