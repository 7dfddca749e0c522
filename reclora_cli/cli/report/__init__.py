"""A workspace as one HTML page."""
