"""
The national side on one machine: authorities, token service, proxy, and faults on demand.

Decisions: D-sandbox.
"""
