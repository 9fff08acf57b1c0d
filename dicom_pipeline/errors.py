"""The exceptions of the core, by what the caller should do about them.

- `PipelineError`: everything below
    - `TransientError`: try again later: a sink is away, a database is locked
    - `PermanentError`: trying again changes nothing: a person must look
        - `RangeGoneError`: the log no longer holds the whole range
        - `MessageRefusedError`: the event log will never take a message
        - `ConfigurationError`: a setting is wrong
"""


class PipelineError(Exception):
    """An error that names the thing, the cause and the remedy."""


class TransientError(PipelineError):
    """Worth retrying without a person's help."""


class PermanentError(PipelineError):
    """Retrying cannot help."""


class RangeGoneError(PermanentError):
    """The event log no longer (or not yet) holds all messages of an offset range."""


class MessageRefusedError(PermanentError):
    """The event log will never take a message as it is, such as one that is too large."""


class ConfigurationError(PermanentError):
    """A setting is missing, malformed or contradicts another one."""
