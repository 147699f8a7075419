"""Commands and their help, without a deployment."""
