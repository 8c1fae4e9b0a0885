"""Servers that speak the protocols of the cloud agents, to develop and test without a key.

They run on a local port, answer with the embedded voice, and misbehave on request.
"""
