"""The one exception of this package that is meant for users."""


class EnsembleError(ValueError):
    """Predictions cannot be read or combined as asked.

    Its text is one sentence that says what is wrong, what was received and what to do instead.
    """
