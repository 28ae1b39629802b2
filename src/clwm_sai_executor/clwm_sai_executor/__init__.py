"""Asks the policy for chunks, splices them into one smooth motion, guards it, and drives both arms' controllers."""
