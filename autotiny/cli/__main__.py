"""`python -m autotiny.cli`."""

from autotiny.cli import main

main()
