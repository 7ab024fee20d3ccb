"""The summary and the report, which gather the results of a system."""
