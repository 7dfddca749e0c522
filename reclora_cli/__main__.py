"""``python -m reclora_cli``: the ``reclora`` command, for launchers that start modules."""

from reclora_cli.cli.app import main

if __name__ == "__main__":
    main()
