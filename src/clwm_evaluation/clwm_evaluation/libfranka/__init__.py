"""The policy through libfranka's protocol beside the same simulation without it."""
