"""What a trained classifier says, and how good it is."""
