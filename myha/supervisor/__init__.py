"""The running supervisor: watchers look, the loop decides, the executor acts."""
