"""What can go wrong while a model is loaded.

    LoadError                     (message, remedy)
    ├── LoadSpecError             model.json cannot work
    ├── SourceError               the source cannot be read
    │   ├── RefusedError          a server answered with an HTTP status that stays
    │   ├── ChecksumError         it was read, and is not what was asked for
    │   └── IncompleteModelError  it was read, and lacks files
    ├── UnsupportedModelError     the files are there, but this loader cannot serve them
    └── DestinationError          the repository cannot be written

The remedy says what the owner of the ModelDeployment should do.
"""

from email.message import Message

from modelmeter.errors import LoadError


class LoadSpecError(LoadError):
    """model.json names something that cannot work."""


class SourceError(LoadError):
    """The source cannot be read."""


class RefusedError(SourceError):
    """A server refused a request; another attempt would be refused, too."""

    def __init__(self, message: str, remedy: str, status: int, headers: Message | None = None) -> None:
        super().__init__(message, remedy)
        self.status = status
        self.headers = headers or Message()


class ChecksumError(SourceError):
    """The source was read in full and differs from the checksum that was asked for."""


class IncompleteModelError(SourceError):
    """The source was read and lacks files."""


class UnsupportedModelError(LoadError):
    """The files are there, but hold something that this loader cannot serve."""


class DestinationError(LoadError):
    """The repository cannot be written."""
