"""``dicom-pipeline serve``."""

from dicom_pipeline.cli.exits import OK, finish, load_settings


def serve() -> None:
    """Serve the viewer, the manifests and the files that they name, for this machine.

    `up` and `demo` run it by themselves. Ctrl-C or SIGTERM stops it.
    """

    def body() -> int:
        from dicom_pipeline.file_server.serving import serve  # noqa: PLC0415 - a quick --help
        from dicom_pipeline.logs import set_up_logging  # noqa: PLC0415

        settings = load_settings()
        set_up_logging(settings.log_format, settings.log_level)
        serve(settings)
        return OK

    finish(body)


command = serve
