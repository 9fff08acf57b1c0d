"""How the double refuses."""

ANALYSIS = 1105
UNKNOWN_DATABASE = 1049
ACCESS_DENIED = 1045


class DorisError(Exception):
    """An error as the MySQL protocol tells it."""

    def __init__(self, message: str, code: int = ANALYSIS) -> None:
        super().__init__(message)
        self.code = code

    @property
    def text(self) -> str:
        """What a client reads."""
        said = str(self)
        return f"errCode = 2, detailMessage = {said}" if self.code == ANALYSIS else said
