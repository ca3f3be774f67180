"""The running supervisor: watchers look, the brain decides, the executor acts."""
