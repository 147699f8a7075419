"""Made input: strategies for hypothesis, conversations, records, notices."""
