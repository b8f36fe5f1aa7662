"""`python -m meadowlark.cli`."""

from meadowlark.cli.application import main

if __name__ == "__main__":
    main()
