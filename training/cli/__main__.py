"""`python -m training.cli VERB`, the same as `twinjax VERB`."""

from training.cli import main

if __name__ == "__main__":
    main()
