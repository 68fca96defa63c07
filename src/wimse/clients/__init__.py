"""HTTP clients that sign every request they send and verify every response they get, one module for each library.

Nothing is imported here, so that a client needs only its own library.
"""
