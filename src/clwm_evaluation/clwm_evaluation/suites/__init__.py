"""Suites: a policy asked, shown and given what an ordinary evaluation does not, beside its controls."""
