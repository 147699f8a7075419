"""The page Refused: what was refused or could not be applied, and what a person does about it."""
