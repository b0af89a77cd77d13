"""Metrics: plain integers of the hot code, read when somebody asks.

    metrics.gauge("comet_connections", "Open subscriptions.", lambda: len(hub))
    metrics.counter("comet_refused", "Refused, by reason.", lambda: refused, labels=("reason",))

Counting costs an integer's addition; names, labels and text exist at a scrape only. So nothing is
counted twice, and what is shown is what the code itself goes by.

    # TYPE comet_refused_total counter
    comet_refused_total{reason="slow"} 3.0
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Read = Callable[[], float | Mapping[Any, float]]
"""The number; with labels a number per value: {"slow": 3}, or {("a", "b"): 3} for two of them."""

Family = type[CounterMetricFamily] | type[GaugeMetricFamily]


class Metrics:
    """What one process can be asked for at /metrics, its own CPU, memory and files included."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def counter(self, name: str, help: str, read: Read, labels: Sequence[str] = ()) -> None:
        """Something that only grows; shown with the suffix `_total`.

        Args:
            read: called at each scrape; must be quick and must not block.

        Raises:
            ValueError: there is one of that name.
        """
        self._registry.register(_Reader(CounterMetricFamily, name, help, read, tuple(labels)))

    def gauge(self, name: str, help: str, read: Read, labels: Sequence[str] = ()) -> None:
        """Something that goes up and down; otherwise as `counter`."""
        self._registry.register(_Reader(GaugeMetricFamily, name, help, read, tuple(labels)))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page for a scraper, and its content type: OpenMetrics if `accept` asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


@dataclass(frozen=True, slots=True)
class _Reader(Collector):
    family: Family
    name: str
    help: str
    read: Read
    labels: tuple[str, ...]

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The name alone, so that a second one is refused without reading anything."""
        yield self.family(self.name, self.help, labels=self.labels)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        family = self.family(self.name, self.help, labels=self.labels)
        value = self.read()
        samples = value.items() if isinstance(value, Mapping) else [((), value)]
        for labels, number in samples:
            family.add_metric([labels] if isinstance(labels, str) else labels, number)
        yield family
