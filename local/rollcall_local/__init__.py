"""Everything on one machine: the stack of `rollcall up`, and the demo."""
