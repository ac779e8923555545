"""`python -m xmlkit`: the command."""

from xmlkit.cli import main

if __name__ == "__main__":
    main()
