"""What `make bench` measures; nothing in here is a test."""
