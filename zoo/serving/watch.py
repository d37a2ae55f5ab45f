"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32)


class Watch:
    """Counters of one server.

    Args:
        waiting: gives the number of images that wait for an answer.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "zoo_requests",
            "Requests by path and status",
            ["path", "status"],
            registry=self._registry,
        )
        self.images = Counter(
            "zoo_images", "Images by outcome", ["outcome"], registry=self._registry
        )
        self.seconds = Histogram(
            "zoo_request_seconds",
            "From the head of a request to its answer",
            ["path"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batches = Histogram(
            "zoo_batch_images", "Images in a batch", buckets=_IMAGES, registry=self._registry
        )
        gauge = Gauge(
            "zoo_images_waiting", "Images that wait for an answer", registry=self._registry
        )
        gauge.set_function(waiting)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self._registry)
