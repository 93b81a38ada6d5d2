"""`python -m tenfold VERB ...` is `tenfold VERB ...`."""

from tenfold.cli import main

if __name__ == "__main__":
    main()
