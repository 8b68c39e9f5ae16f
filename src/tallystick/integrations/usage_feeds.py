"""Opens sources of usage, each by the library that speaks to it; what the operator does not allow is not reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tallystick.core.usage_source import FolderFrom, KafkaFrom, KinesisFrom, S3From
from tallystick.integrations.allowed_hosts import require_host, require_origin
from tallystick.integrations.kafka_stream import KafkaStream
from tallystick.integrations.kinesis_stream import KinesisStream
from tallystick.integrations.s3_shelf import S3Shelf
from tallystick.ports.feeds import Shelf, Stream


class OutsideFeeds:
    """`allowed` are the hosts of the operator's setting; `folder` opens a folder of the operator's directory."""

    def __init__(self, allowed: Sequence[str], folder: Callable[[str, FolderFrom], Shelf]) -> None:
        self._allowed = allowed
        self._folder = folder

    def stream(
        self, source: KafkaFrom | KinesisFrom, group: str, credentials: Mapping[str, str], places: Mapping[str, str]
    ) -> Stream:
        """See `ports.feeds.Feeds`."""
        self.require_allowed(source)
        if isinstance(source, KafkaFrom):
            return KafkaStream(source, source.group or group, credentials, places)
        return KinesisStream(source, credentials, places)

    def shelf(self, organization_id: str, source: FolderFrom | S3From, credentials: Mapping[str, str]) -> Shelf:
        """See `ports.feeds.Feeds`."""
        self.require_allowed(source)
        return self._folder(organization_id, source) if isinstance(source, FolderFrom) else S3Shelf(source, credentials)

    def require_allowed(self, source: object) -> None:
        """See `ports.feeds.Feeds`."""
        match source:
            case KafkaFrom():
                for each in source.brokers:
                    require_host(self._allowed, each, "configuration.brokers")
            case KinesisFrom() | S3From():
                require_origin(self._allowed, source.endpoint, "configuration.endpoint")
            case _:
                pass
