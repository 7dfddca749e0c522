"""What a file of interactions seems to hold: a recipe to begin with, for people to check."""
