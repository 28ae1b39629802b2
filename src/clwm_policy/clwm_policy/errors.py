"""What the engine refuses. After every one of these the long-term memory is as it was before the call."""

from typing import ClassVar

from clwm_common.messages import RefusalKind


class EngineError(Exception):
    """The engine did not do what was asked; the message says what, which value, what was expected and the remedy.

    kind, may_pass: what the executor is told of it, and whether asking again can help while the task stays the same.
    """

    kind: ClassVar[RefusalKind] = RefusalKind.REQUEST
    may_pass: ClassVar[bool] = False


class RequestRefused(EngineError):
    """A chunk request that cannot be worked on: wrong layout, no committed prefix, a number that is not finite."""


class NothingRequested(EngineError):
    """An observation came for which no chunk is being made: the branch was cancelled or replaced."""


class StaleFrame(EngineError):
    """A frame captured before the last one that the memory took in."""

    kind = RefusalKind.NO_OBSERVATION
    may_pass = True


class DuplicateFrame(StaleFrame):
    """The frame that the memory took in last, again."""


class EncoderMismatch(EngineError):
    """Features of an encoder that the policy was not trained with."""

    kind = RefusalKind.OBSERVATION


class BadFrame(EngineError):
    """Features of a wrong shape, or of other cameras."""

    kind = RefusalKind.OBSERVATION


class SpoiltFrame(BadFrame):
    """Features with numbers that are not finite."""

    kind = RefusalKind.NO_OBSERVATION
    may_pass = True


class BadState(EngineError):
    """A measured state of a wrong shape or with numbers that are not finite."""

    kind = RefusalKind.NO_OBSERVATION
    may_pass = True


class NonFiniteOutput(EngineError):
    """The model gave numbers that are not finite."""

    kind = RefusalKind.OUTPUT


class BadSnapshot(EngineError):
    """A memory file that is missing, damaged, or of another model."""


class UnknownSnapshot(EngineError):
    """A memory snapshot was asked for that was never saved."""

    kind = RefusalKind.SNAPSHOT


class UnknownSentence(EngineError):
    """An instruction unlike all that the policy was trained with, on which nobody insists."""


class NoFrame(EngineError):
    """No usable frame has come for a request."""

    kind = RefusalKind.NO_OBSERVATION
    may_pass = True


class Stopped(EngineError):
    """The policy is not active."""

    kind = RefusalKind.INACTIVE
    may_pass = True


class NoEstimate(EngineError):
    """A task that the policy's own estimate of success shall end, of which that cannot tell anything."""
