"""What the engine refuses. After every one of these the long-term memory is as it was before the call."""


class EngineError(Exception):
    """The engine did not do what was asked; the message says what, which value, what was expected and the remedy."""


class RequestRefused(EngineError):
    """A chunk request that cannot be worked on: wrong layout, no committed prefix, a number that is not finite."""


class NothingRequested(EngineError):
    """An observation came for which no chunk is being made: the branch was cancelled or replaced."""


class StaleFrame(EngineError):
    """A frame captured before the last one that the memory took in."""


class DuplicateFrame(StaleFrame):
    """The frame that the memory took in last, again."""


class EncoderMismatch(EngineError):
    """Features of an encoder that the policy was not trained with."""


class BadFrame(EngineError):
    """Features of a wrong shape, of other cameras, or with numbers that are not finite."""


class BadState(EngineError):
    """A measured state of a wrong shape or with numbers that are not finite."""


class NonFiniteOutput(EngineError):
    """The model gave numbers that are not finite."""


class BadSnapshot(EngineError):
    """A memory file that is missing, damaged, or of another model."""


class UnknownSnapshot(EngineError):
    """A memory snapshot was asked for that was never saved."""
