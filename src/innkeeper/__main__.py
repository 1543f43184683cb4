"""`python -m innkeeper`."""

from innkeeper.cli.main import main

if __name__ == "__main__":
    main()
