"""What Docker needs to serve an exported SavedModel with TensorFlow Serving."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import ZooError
from zoo.exporting.formats import Format

# its newest when this was written; SavedModels are read by later ones
_IMAGE = "tensorflow/serving:2.19.1"
_PORT = 8501  # of its REST interface

_DOCKERFILE = f"""\
# made by zoo: TensorFlow Serving with the model beside this file
FROM {_IMAGE}
COPY model /models/model/1
ENV MODEL_NAME="model"
"""
_COMPOSE = f"""\
# made by zoo. Start it with `docker compose up --build --detach`, and ask it with
#   curl -d "{{\\"instances\\": [{{\\"b64\\": \\"$(base64 -w0 photo.jpg)\\"}}]}}" \\
#     http://localhost:{_PORT}/v1/models/model:predict
services:
  model:
    build: .
    ports:
      - "127.0.0.1:{_PORT}:{_PORT}"  # this machine only: TensorFlow Serving asks for no token
    restart: unless-stopped
"""


def check_docker(form: Format) -> None:
    """Refuse a format that TensorFlow Serving does not read.

    Raises:
        ZooError: it is none.
    """
    if form.name != "savedmodel":
        raise ZooError(
            f"a Docker image is made of a SavedModel, not of {form.name}: leave --format out, or "
            f"--docker"
        )


def write_docker(folder: Path) -> None:
    """Write ``Dockerfile`` and ``compose.yaml`` beside an exported SavedModel."""
    for name, text in (("Dockerfile", _DOCKERFILE), ("compose.yaml", _COMPOSE)):
        (folder / name).write_text(text, "utf-8")
