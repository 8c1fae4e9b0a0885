"""Visavis gives any conversational agent a face."""

__version__ = "0.1.0"
