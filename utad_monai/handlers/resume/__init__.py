"""Exact resume: states on disk, and what must be the same to go on from one."""
