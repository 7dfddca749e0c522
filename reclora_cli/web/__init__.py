"""The HTTP face of ``serving``: routes, bodies, errors, limits of a connection, start and stop.

Needs the extra ``reclora[serve]`` (FastAPI, uvicorn).
"""
