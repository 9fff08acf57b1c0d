"""How much of the time of a conversion the codecs themselves take."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pkgutil import resolve_name
from typing import Any, Final
from unittest.mock import patch

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGLSLossless, RLELossless

_FUNCTIONS: Final = (
    "imagecodecs.jpeg8_decode",
    "imagecodecs.jpegls_decode",
    "imagecodecs.jpegxl_decode",
    "openjpeg.decode",
    "jpeg_ls.encode_pixel_data",
)
_PLUGINS: Final = ((JPEGLSLossless, "gdcm"), (RLELossless, "pylibjpeg"))
"""Codecs that are called through pydicom's decoders."""


class CodecTime:
    """CPU seconds inside codec libraries."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def taken(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time taken."""

        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401  whatever the codec takes
            began = time.process_time()
            try:
                return function(*args, **options)
            finally:
                self.seconds += time.process_time() - began

        return call


@contextmanager
def codec_time() -> Iterator[CodecTime]:
    """Takes the time of every call of a codec in this process."""
    taken = CodecTime()
    with ExitStack() as stack:
        for name in _FUNCTIONS:
            stack.enter_context(patch(name, taken.taken(resolve_name(name))))
        for uid, plugin in _PLUGINS:
            functions = get_decoder(uid)._available  # noqa: SLF001  there is no other way in
            timed = taken.taken(functions[plugin])
            stack.enter_context(patch.dict(functions, {plugin: timed}))
        yield taken
