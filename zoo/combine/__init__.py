"""From finished runs to an ensemble, which is a run itself."""
