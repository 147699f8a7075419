"""What an operator or the console does with a deployment."""
