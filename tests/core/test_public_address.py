"""Which addresses are public, how hosts may be written, and what an operator may allow."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.public_address import Allowed, read_allowed, usual_port, why_no_host, why_not_public

REFUSED = {
    "a loopback address": ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
    "a private address": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00:ec2::254", "fec0::1"],
    "a link-local address": ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"],
    "a carrier's shared address": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "an address of this host": ["0.0.0.0", "0.1.2.3", "::ffff:0.0.0.0"],
    "an address of a cloud's own services": ["168.63.129.16"],
    "a multicast address": ["224.0.0.1", "239.255.255.255", "ff02::1"],
    "an address for documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.7", "2001:db8::1", "3fff::1"],
    # 2002:7f00:1:: is 127.0.0.1 by 6to4, 2001:0:… Teredo.
    "a reserved address": [
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.192",
        "198.18.0.1",
        "2002:7f00:1::",
        "2001::7f00:1",
    ],
    "no public address": ["::", "::7f00:1", "64:ff9b:1::1", "100::1", "4000::1", "5f00::1", "2a00:1450::1%1"],
}
PUBLIC = ["1.1.1.1", "93.184.215.14", "172.32.0.1", "100.128.0.1", "11.0.0.1", "223.255.255.255", "2606:4700::1111"]
PUBLIC += ["64:ff9b::101:101", "::ffff:1.1.1.1"]


@pytest.mark.parametrize(("what", "address"), [(what, each) for what, all_of in REFUSED.items() for each in all_of])
def test_special_addresses_are_refused_by_what_they_are(what: str, address: str) -> None:
    assert why_not_public(ip_address(address)) == what


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert why_not_public(ip_address(address)) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_each_form(address: object) -> None:
    plain = ip_address(str(address))
    for written in (f"::ffff:{plain}", f"64:ff9b::{plain}"):
        assert why_not_public(ip_address(written)) == why_not_public(plain)
    # The library of the language knows most of them too; where it says private, so do we.
    assert why_not_public(plain) is not None or not (plain.is_private or plain.is_multicast or plain.is_reserved)


@pytest.mark.parametrize(
    "host", ["a.example", "A1-b.example".lower(), "xn--bcher-kva.example", "a_b.example", "1.1.1.1"]
)
def test_usual_hosts(host: str) -> None:
    assert why_no_host(host) is None


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "1.2.3.0x"]
)
def test_odd_forms_of_addresses_are_refused(host: str) -> None:
    assert why_no_host(host) == "is an address in an unusual form; write it as four numbers with dots"


@pytest.mark.parametrize(
    "host", ["", "a b", "-a.example", "a..example", "a%2eexample", "ⓔxample.com", "a" * 64, "[::1"]
)
def test_what_is_no_host(host: str) -> None:
    assert why_no_host(host) == "is no host name"


@pytest.mark.parametrize(
    ("port", "usual"), [(80, True), (443, True), (25, False), (22, False), (0, False), (1024, True)]
)
def test_usual_ports(port: int, usual: bool) -> None:
    assert usual_port(port) is usual


def test_an_operator_allows_hosts_addresses_and_networks() -> None:
    allowed = read_allowed(" hooks.internal, Kafka.internal:9092 ,10.1.0.0/16, 10.9.9.9:9000,[fd00::5]:8443,fd01::/32,")
    hosts = {("hooks.internal", 1): True, ("kafka.internal", 9092): True, ("kafka.internal", 80): False}
    assert {key: allowed.host(*key) for key in hosts} == hosts
    addresses = {
        ("10.1.2.3", 5): True,
        ("10.2.0.1", 5): False,
        ("::ffff:10.1.2.3", 5): True,
        ("10.9.9.9", 9000): True,
        ("10.9.9.9", 9001): False,
        ("fd00::5", 8443): True,
        ("fd00::5", 443): False,
        ("fd01::99", 443): True,
    }
    assert {key: allowed.address(ip_address(key[0]), key[1]) for key in addresses} == addresses
    assert read_allowed("") == Allowed()


@pytest.mark.parametrize(
    "entry", ["10.1.2.3/8", "*.internal", "https://a.example", "a:b:c", "0x7f.1", "a.example:http"]
)
def test_an_entry_that_is_none_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="must be hosts, addresses and networks") as caught:
        read_allowed(f"a.example,{entry}")
    assert repr(entry) in str(caught.value)
