"""Sequence encoders: a user's history to a vector, by which items are scored (task ``next``)."""
