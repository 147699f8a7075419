"""A consumer of a topic: its position, stored beside what it writes, and its retry in an outage."""
