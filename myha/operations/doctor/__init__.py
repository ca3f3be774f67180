"""`myha doctor`: what is wrong with an installation, in the order of importance. Changes nothing.

What setup asks of servers is asked here by setup's own rules (`operations/setup/`).
"""
