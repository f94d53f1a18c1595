"""Addresses of webhooks: public ones only, checked when they are saved and when they connect."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from campaigns.notifications.addresses import (
    AddressRefused,
    NameUnknown,
    find_target,
    is_public,
)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",  # behind a provider's address translation
        "169.254.169.254",  # cloud metadata
        "192.0.0.8",  # protocols
        "192.0.0.9",
        "192.0.0.170",
        "192.88.99.1",  # relays of 6to4, retired
        "192.0.2.1",  # documentation
        "198.18.0.1",  # benchmarks
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",  # IPv4-compatible
        "::ffff:127.0.0.1",  # IPv4-mapped
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",  # NAT64 for local use
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2002:c0a8:101::1",
        "2001:0:7f00:1::",  # Teredo
        "2001:1::3",
        "2001:db8::1",
        "3fff::1",  # documentation
        "3fff:fff:ffff::1",
        "5f00::1",  # segment routing
        "100::1",
        "100:0:0:1::1",
        "4000::1",  # not handed out
        "2002:c000:8::",  # 6to4 of 192.0.0.8
        "2002:c058:6301::1",  # 6to4 of 192.88.99.1
        "::ffff:192.0.0.8",
        "::ffff:192.88.99.1",
        "64:ff9b::c000:8",  # NAT64 of 192.0.0.8
        "64:ff9b::c058:6301",
        "2a00:1450::5efe:a00:1",  # ISATAP of 10.0.0.1
        "2a00:1450::200:5efe:7f00:1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_an_address_that_is_not_public_is_recognised(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "192.0.1.1", "192.88.98.1", "192.88.100.1"),
        *("2606:4700::1111", "2001:4860:4860::8888", "3ffe::1", "2002:808:808::1"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808", "2a00:1450::5efe:808:808"),
    ],
)
def test_a_public_address_is_recognised(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook",
        "http://127.1/hook",
        "http://2130706433/hook",
        "http://0x7f000001/hook",
        "http://0177.0.0.1/hook",
        "http://0/hook",
        "http://localhost:8000/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1:8080/",
    ],
)
def test_every_way_to_write_a_private_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused, match="not on the public internet"):
        find_target(url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://8.8.8.8/", "must begin with https:// or http://"),
        ("file:///etc/passwd", "must begin with"),
        ("https:///path", "name a host"),
        ("hook", "must begin with"),
        ("https://ada:secret@8.8.8.8/", "user name and password"),
        ("https://8.8.8.8:0/", "Port 0"),
        ("https://8.8.8.8:99999/", "not an address"),
        ("https://[8.8.8.8/", "not an address"),
        (f"https://{'a' * 64}.example/", "not an address"),
    ],
)
def test_what_is_no_address_of_a_receiver_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(AddressRefused, match=sentence):
        find_target(url)


def test_a_name_without_an_address_is_told_apart() -> None:
    with pytest.raises(NameUnknown, match=r"nowhere\.invalid has no address"):
        find_target("https://nowhere.invalid/")


def test_a_public_address_is_taken_apart_for_the_connection() -> None:
    target = find_target("https://8.8.8.8/höok/a b?q=ü&x=%20")
    assert (target.host, target.port, target.is_tls) == ("8.8.8.8", 443, True)
    assert target.path == "/h%C3%B6ok/a%20b?q=%C3%BC&x=%20"
    assert [str(address) for address in target.addresses] == ["8.8.8.8"]


def test_one_private_address_among_public_ones_refuses_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = [(2, 1, 6, "", ("8.8.8.8", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        find_target("https://mixed.example/")


def test_an_operator_may_allow_private_networks(settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"WEBHOOK_ALLOW_PRIVATE": True}
    assert find_target("http://127.0.0.1:8000/").port == 8000
