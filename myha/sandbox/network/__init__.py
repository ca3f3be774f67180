"""Hosts of a sandbox as network namespaces, joined by a switch in a namespace of its own."""
