"""`python -m autotiny`."""

from autotiny.cli import main

main()
