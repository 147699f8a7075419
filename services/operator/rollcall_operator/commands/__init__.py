"""One module per command of `rollcall`; each has `register(app)`."""
