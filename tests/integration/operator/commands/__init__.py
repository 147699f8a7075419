"""Commands that find a deployment by the environment, each against real servers."""
