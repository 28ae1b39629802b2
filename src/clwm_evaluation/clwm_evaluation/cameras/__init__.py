"""What cameras cost the perception process."""
