"""What a system's results come together in: the summary and the report."""
