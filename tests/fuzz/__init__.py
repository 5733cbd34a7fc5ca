"""Parsers that take what others wrote, fed with what nobody meant."""
