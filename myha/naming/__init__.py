"""Names by which clients find the writer, beside the balancers."""
