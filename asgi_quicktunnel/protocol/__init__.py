"""The wire, sans-IO: bytes in, facts out."""
