"""The one kind of error that is the user's to mend."""


class UserError(ValueError):
    """One line: what is wrong, where (file:line or option), what to do. Shown without a traceback."""
