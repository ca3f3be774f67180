"""What is in quarantine: list it, show it, take it elsewhere, and replay it to the writer."""
