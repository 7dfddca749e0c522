"""The reference of docs/reference, made of the code.

    python -m reclora_cli.cli.reference docs/reference

writes it; a test holds what is committed against what is made.
"""
