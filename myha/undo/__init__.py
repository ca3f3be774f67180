"""Errant transactions: kept in quarantine, undone on their node, applied on the writer."""
