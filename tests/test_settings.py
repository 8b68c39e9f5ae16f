"""Settings: defaults, the environment, the command line, and what is refused at the start."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from tallystick.settings import CLIENT_VARIABLES, MEANINGS, Settings, read_settings


def test_every_setting_says_what_it_means() -> None:
    assert list(MEANINGS) == [each.name for each in fields(Settings)]


def test_without_an_environment_the_defaults_hold() -> None:
    assert read_settings({}) == Settings()


def test_the_environment_overrides_the_defaults_and_the_command_line_both() -> None:
    environment = {"TALLYSTICK_PORT": "9000", "TALLYSTICK_DATA": "/somewhere", "HOME": "/root"}
    assert read_settings(environment) == Settings(port=9000, data="/somewhere")
    assert read_settings(environment, port=9001, data=None) == Settings(port=9001, data="/somewhere")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TALLYSTICK_PORT", "many", "TALLYSTICK_PORT: must be a whole number, got 'many'"),
        ("TALLYSTICK_PORT", "", "TALLYSTICK_PORT: must be a whole number, got ''"),
        ("TALLYSTICK_PORT", "-1", "TALLYSTICK_PORT: must be a whole number, got '-1'"),
        ("TALLYSTICK_PORT", "８４００", "TALLYSTICK_PORT: must be a whole number, got '８４００'"),
        ("TALLYSTICK_TOKEN_SECONDS", "1.5", "TALLYSTICK_TOKEN_SECONDS: must be a whole number, got '1.5'"),
        ("TALLYSTICK_PORTT", "1", "TALLYSTICK_PORTT: no such setting; `tallystick settings` lists them"),
    ],
)
def test_a_malformed_or_misspelt_setting_is_refused_by_name(name: str, value: str, said: str) -> None:
    with pytest.raises(ValueError, match="TALLYSTICK_") as caught:
        read_settings({name: value})
    assert str(caught.value) == said


@pytest.mark.parametrize("url", ["a.example", "https://a.example/", "javascript:x", "https://a b", "https://u@a"])
def test_a_public_address_is_a_scheme_and_a_host(url: str) -> None:
    with pytest.raises(ValueError, match="TALLYSTICK_PUBLIC_URL: must be a scheme and a host"):
        read_settings({"TALLYSTICK_PUBLIC_URL": url})
    assert read_settings({"TALLYSTICK_PUBLIC_URL": "https://a.example:8443"}).public_url == "https://a.example:8443"


@pytest.mark.parametrize("name", CLIENT_VARIABLES)
def test_what_commands_read_is_no_misspelt_setting(name: str) -> None:
    assert read_settings({name: "anything"}) == Settings()


def test_settings_survive_the_way_through_the_environment() -> None:
    """The server hands them to its worker process so."""
    settings = Settings(data="/somewhere", port=1, records_url="postgresql+psycopg://host/name", request_bytes=5)
    assert read_settings(settings.environment()) == settings


def test_where_records_are_kept_follows_the_data_directory() -> None:
    assert Settings(data="/d").records == "sqlite:////d/records.sqlite"
    assert Settings(data="/d", records_url="postgresql+psycopg://h/n").records == "postgresql+psycopg://h/n"
    assert Settings(data="relative").directory == Path.cwd() / "relative"
