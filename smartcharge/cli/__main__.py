"""``python -m smartcharge.cli`` is ``smartcharge``."""

from smartcharge.cli.app import main

if __name__ == "__main__":
    main()
