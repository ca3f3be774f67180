"""Messages and hooks: what follows from events outside of the pair, in a process of its own."""
