"""The trainings: encoder, policy and memory."""
