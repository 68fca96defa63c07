"""HTTP servers that know who calls before the application does, one module for each interface.

Nothing is imported here, so that a server needs only its own interface.
"""
