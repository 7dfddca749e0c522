"""The task ``next``: histories, what came next, and the candidates to choose from."""
