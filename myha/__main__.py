"""`python -m myha`."""

from myha.cli.main import main

if __name__ == "__main__":
    main()
