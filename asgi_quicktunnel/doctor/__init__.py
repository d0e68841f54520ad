"""Finds out why there is no tunnel: checks, what they mean, and what to do."""
