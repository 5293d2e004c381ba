"""Measurements, one per file: functions that take arrays and return arrays, each with its source.

No file is read or written here, and nothing is formatted for a page."""
