"""Nobody is to import this."""

raise RuntimeError("a module that fails")
