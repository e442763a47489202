"""`python -m stenod`: the same as the command `stenod`."""

from stenod.cli import main

if __name__ == "__main__":
    main()
