"""The one kind of error that is the user's to mend."""


class UserError(ValueError):
    """One line: what is wrong, where (file:line or option), what to do. Shown without a traceback.

    `detail` is shown before it: the traceback of a plugin that fails, which its author needs.
    """

    def __init__(self, line: str, detail: str = ""):
        super().__init__(line)
        self.detail = detail


class Incompatible(UserError):
    """Plugins that don't go together, or not in this order: what each does is none of its faults."""
