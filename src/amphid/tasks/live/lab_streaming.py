"""Lab Streaming Layer as far as it is used here, found only when it is."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from typing import Any, Self

NUMBERED = "numbered bins"
"""Type of a stream whose first channel holds the number of each bin."""

_HERE = """\
[multicast]
ResolveScope = machine
[lab]
KnownPeers = {127.0.0.1}
SessionID = %s
[ports]
IPv6 = disable
[log]
level = -3
"""


class Closing(ABC):
    """As a context it closes itself. Abstract."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the stream."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def streaming() -> Any:
    """The module pylsl. Raises ModuleNotFoundError naming the install line where it is missing."""
    try:
        import pylsl
    except (ImportError, RuntimeError):  # the second where its library is missing
        raise ModuleNotFoundError("live streams need pylsl: pip install 'amphid[bci]'") from None
    return pylsl


def on_this_machine(session: str | None = None) -> str:
    """Keep this process's streams on this machine, seen only by processes of the same session.

    Returns the session that is in force, for other processes to join; without one, a new name. It
    needs no multicast, and nothing is told of lost streams on stderr. It must come before the first
    stream of the process: later nothing changes, and the session that was is returned. Without it
    the configuration of Lab Streaming Layer (lsl_api.cfg) decides.
    """
    session = f"amphid-{uuid.uuid4().hex}" if session is None else session
    check_name("session", session)
    lsl = streaming()
    lsl.set_config_content(_HERE % session)
    probe = lsl.StreamOutlet(lsl.StreamInfo("session", "none", 1, 0, lsl.cf_double64, "session"))
    return str(probe.get_info().session_id())


def check_name(what: str, name: str) -> None:
    """Raise ValueError for a name that a query for streams cannot hold."""
    if (
        not isinstance(name, str)
        or not name
        or not name.isprintable()
        or set(name) & set("'\"{}[]\\")
    ):
        raise ValueError(
            f"{what} must be printable, without quotes, brackets and backslashes, got {name!r}."
        )


def check_channels(channels: int) -> None:
    """Raise ValueError for what is no count of channels."""
    if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
        raise ValueError(f"channels must be a whole number, at least 1, got {channels!r}.")
