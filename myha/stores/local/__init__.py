"""The store on this machine: SQLite files and a lock in the state directory."""
