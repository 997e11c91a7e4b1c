"""Errors and warnings about cases: one record, and every check that gives it."""
