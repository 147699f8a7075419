"""Foreign conformance suites against a whole deployment, as their users run them."""
