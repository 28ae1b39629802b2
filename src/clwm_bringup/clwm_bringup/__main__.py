"""`python -m clwm_bringup`: the command line. Ctrl-C during its imports ends it at once, without a traceback."""

from __future__ import annotations

import signal


def main() -> None:
    """Entry point of `clwm`."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from clwm_bringup import cli

    cli.main()


if __name__ == "__main__":
    main()
