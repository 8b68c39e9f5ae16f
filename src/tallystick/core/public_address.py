"""Which addresses lie in public: where requests may go that users ask for, unless the operator allows more.

The table holds what the registries of special-purpose addresses list (IANA, RFC 6890 and its updates), written out:
what a library calls global has changed between its versions, and this must not.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SPECIAL = {
    "an address of this host": ("0.0.0.0/8",),
    "a loopback address": ("127.0.0.0/8", "::1/128"),
    "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    "a carrier's shared address": ("100.64.0.0/10",),
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),
    "an address of a cloud's own services": ("168.63.129.16/32",),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "an address for documentation": (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    ),
    # 6to4 and Teredo carry an IPv4 address that a relay would unpack; neither is in use any more.
    "a reserved address": (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",
        "2002::/16",
    ),
}
_TABLE: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), what) for what, networks in _SPECIAL.items() for network in networks
)
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that has been given out
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address, reached from a network that has IPv6 alone
_LOW_PORTS = frozenset({80, 443})
_FIRST_HIGH_PORT = 1024

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"({_LABEL}\.)*{_LABEL}\.?")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\.?")
_WITH_PORT = re.compile(r"(?P<host>\[[^\]]+\]|[^:]+)(:(?P<port>[0-9]{1,5}))?")


def judged(address: Address) -> Address:
    """The address that packets really go to: an IPv4 address that is written as IPv6 is taken for what it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def why_not_public(address: Address) -> str | None:
    """What kind of address it is, where it is none of the public internet; None: it is public."""
    at = judged(address)
    for network, what in _TABLE:
        if at.version == network.version and at in network:
            return what
    if isinstance(at, ipaddress.IPv6Address) and (at not in _UNICAST or at.scope_id):
        return "no public address"
    return None


def why_no_host(host: str) -> str | None:
    """What is wrong with the way a host is written; None: it is a name or an address in its one usual form.

    Programs read `0x7f.1`, `017700000001` and `2130706433` as an address; whoever means one writes it out.
    """
    if literal(host) is not None:
        return None
    if not host or len(host) > 253 or not _NAME.fullmatch(host):
        return "is no host name"
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return "is an address in an unusual form; write it as four numbers with dots"
    return None


def literal(host: str) -> Address | None:
    """The address that a host is written as, or None where it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def usual_port(port: int) -> bool:
    """Whether services for the public listen there: 80, 443 and those that need no privilege."""
    return port in _LOW_PORTS or _FIRST_HIGH_PORT <= port <= 65_535


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows beside public addresses: hosts by name, and networks; each with a port, or with all."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[tuple[Network, int | None], ...] = ()

    def host(self, host: str, port: int) -> bool:
        """Whether the host may be reached wherever it resolves to."""
        return not self.hosts.isdisjoint({(host, port), (host, None)})

    def address(self, address: Address, port: int) -> bool:
        """Whether the address may be reached whatever it is."""
        at = judged(address)
        return any(
            at.version == network.version and at in network and only in {None, port} for network, only in self.networks
        )


def read_allowed(text: str) -> Allowed:
    """The operator's list: `hooks.internal`, `hooks.internal:8443`, `10.1.0.0/16`, `10.1.2.3:9000`, `[fd00::5]:443`,
    apart by commas. ValueError names an entry that is none of these."""
    hosts: set[tuple[str, int | None]] = set()
    networks: list[tuple[Network, int | None]] = []
    for entry in filter(None, (part.strip().lower() for part in text.split(","))):
        network = _network(entry)
        if network is not None:
            networks.append((network, None))
            continue
        found = _WITH_PORT.fullmatch(entry)
        host = found["host"].strip("[]") if found else ""
        port = int(found["port"]) if found and found["port"] else None
        network = _network(host)
        if network is not None:
            networks.append((network, port))
        elif found and why_no_host(host) is None:
            hosts.add((host, port))
        else:
            raise ValueError(
                f"must be hosts, addresses and networks with commas, each with a port or without; {entry!r}"
            )
    return Allowed(frozenset(hosts), tuple(networks))


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
