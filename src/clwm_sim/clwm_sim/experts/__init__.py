"""Closed-loop experts: what each goal's hands ought to do now, decided from where things are."""
