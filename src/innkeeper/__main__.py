"""`python -m innkeeper`."""

from innkeeper.cli.program import main

if __name__ == "__main__":
    main()
