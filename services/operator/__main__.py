"""`python -m services.operator`: the same as `rollcall`."""

from services.operator.cli import main

main()
