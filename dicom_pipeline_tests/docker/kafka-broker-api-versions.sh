#!/bin/bash
# As far as the health check asks: whether somebody listens at `--bootstrap-server HOST:PORT`.
exec bash -c "</dev/tcp/${2/:/\/}"
