"""What a consumer of a topic keeps: its position, stored beside what it writes."""
