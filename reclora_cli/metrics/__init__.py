"""Pure functions of labels and scores: figures, their intervals, and paired tests.

Nothing here reads a file, draws an unseeded number, or knows a model.
"""
