"""`python -m rollcall_operator`: the same as `rollcall`."""

from rollcall_operator.cli import main

main()
