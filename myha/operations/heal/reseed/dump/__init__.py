"""A logical copy of one server's data to another, in the plain protocol of both: no host needed."""
