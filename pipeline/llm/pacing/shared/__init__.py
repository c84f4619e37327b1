"""Quotas that several processes share: on one machine by a file, on several by Redis."""
