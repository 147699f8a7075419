"""The notifier: outcomes become notification rows, and rows become mails."""
