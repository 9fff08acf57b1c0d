"""pynetdicom's Storage SCP with the handler of its documentation: `stock_scp PORT FOLDER`."""

import sys
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt


def handle_store(event: evt.Event, folder: Path) -> int:
    """Decode the object and save it under its UID."""
    ds = event.dataset
    ds.file_meta = event.file_meta
    ds.save_as(folder / ds.SOPInstanceUID, enforce_file_format=True)
    return 0x0000


def main() -> None:
    """Serve until a signal ends the process."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    ae = AE()
    ae.supported_contexts = AllStoragePresentationContexts
    handlers = [(evt.EVT_C_STORE, handle_store, [folder])]
    ae.start_server(("127.0.0.1", port), evt_handlers=handlers)


if __name__ == "__main__":
    main()
