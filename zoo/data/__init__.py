"""Images: where they come from, whether they are usable, how they are split and decoded."""
