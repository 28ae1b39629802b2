"""What each process costs of a core, beside stand-ins for the rest of the stack."""
