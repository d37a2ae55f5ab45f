"""The one exception of this package that is meant for users."""


class BackboneError(ValueError):
    """Something a user asked of a backbone cannot be done.

    Its text is one sentence that says what is wrong, what was received and what to do instead.
    """
