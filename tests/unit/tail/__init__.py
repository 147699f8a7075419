"""The fold of the tail: held rows, look-ups, the records of a partition in memory."""
