"""ONNX Runtime's telemetry, which its packages for Linux and macOS have from 1.29 on: off unless asked for.

It keeps an identifier of the device and a queue of events in the user's cache, and a file in the temporary
folder, from its import on, and sends them to its maker whenever there is a network. Nobody who compresses a
model has asked for that. It is off where a session runs in CI, and where this variable says so when it is
imported first (https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md).
"""

import os

VARIABLE = "ORT_DISABLE_TELEMETRY"


def turn_off() -> None:
    """For this process and those it starts; a value that the user has set stays, "0" leaves it on."""
    os.environ.setdefault(VARIABLE, "1")
