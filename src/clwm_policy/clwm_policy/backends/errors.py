"""Why a backend is not used."""


class BackendError(RuntimeError):
    """A backend that cannot run here; the message says why and what would help."""
