"""Arguments and options that mean the same in every command. ORG is always a word, no option."""

from typing import Annotated

import typer

OrgArgument = Annotated[
    str, typer.Argument(metavar="ORG", help="Id of the organisation, or its name if unique.")
]
OnlyOrgArgument = Annotated[
    str | None,
    typer.Argument(metavar="[ORG]", help="Only of this organisation: its id, or unique name."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
