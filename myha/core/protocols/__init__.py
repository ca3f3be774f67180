"""The protocols: in which order the steps of a failover, a release, a rejoin stand, and why. Pure.

The order *is* the protocol; why each step stands where it does is said beside it. Every plan may be
cut short at any step, and what is then seen leads to a plan that goes on from there: an interrupted
failover is found as `writer-closed`, an interrupted release as `stalled-solo`.
"""
