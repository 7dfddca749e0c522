"""The long-short retriever's geometry: vectors and positions in, positions out.

Nothing here knows an LM or a text.
"""
