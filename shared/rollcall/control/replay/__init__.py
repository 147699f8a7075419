"""The log read again: into the notifier, into a downstream topic, or an organisation as it was."""
