"""Where settings come from, which wins, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from meadowlark.errors import ConfigInvalid
from meadowlark.server.config import SETTINGS, Config, Mode, core_count, default_of, describe, flag_of, load, type_of, variable_of


def loaded(
    mode: Mode = "serve", *, file: str | None = None, environment: dict[str, str] | None = None, **flags: object
) -> Config:
    return load(mode, file=file, environment=environment or {}, flags=flags)


def refused(*arguments, **options) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        loaded(*arguments, **options)
    return str(caught.value)


@pytest.fixture
def toml(tmp_path: Path):
    """Writes a configuration file and gives its name."""

    def write(text: str) -> str:
        (tmp_path / "meadowlark.toml").write_text(text)
        return str(tmp_path / "meadowlark.toml")

    return write


# Defaults


def test_serve_keeps_data_denies_unknown_databases_and_uses_every_core():
    config = loaded("serve")
    assert (config.data, config.create_databases, config.workers) == ("data", False, core_count())


def test_dev_throws_data_away_creates_databases_and_uses_one_worker():
    config = loaded("dev")
    assert (config.data, config.create_databases, config.workers) == ("", True, 1)


@pytest.mark.parametrize("mode", ["serve", "dev"])
def test_both_modes_are_durable_and_listen_on_loopback_at_the_emulators_port(mode):
    config = loaded(mode)
    assert (config.durability, config.host, config.port) == ("durable", "127.0.0.1", 9000)


def test_the_credential_is_in_the_data_folder_unless_said_otherwise():
    assert loaded().credential_file("/srv/lark") == "/srv/lark/admin-credential"
    assert loaded(admin_credential_file="/run/secrets/lark").credential_file("/srv/lark") == "/run/secrets/lark"


# Layers


def test_flags_win_over_the_environment_which_wins_over_the_file(toml):
    file = toml("port = 1\nlog_level = 'debug'\nhost = '127.0.0.2'\n")
    config = loaded(file=file, environment={"MEADOWLARK_PORT": "2", "MEADOWLARK_HOST": "127.0.0.3"}, port="3")
    assert (config.port, config.host, config.log_level) == (3, "127.0.0.3", "debug")


def test_the_file_wins_over_the_modes_default(toml):
    assert loaded("dev", file=toml("create_databases = false\n")).create_databases is False


def test_a_flag_that_was_not_given_changes_nothing(toml):
    assert loaded(file=toml("port = 1\n"), port=None).port == 1


def test_the_environment_may_name_the_file(toml):
    assert loaded(environment={"MEADOWLARK_CONFIG": toml("port = 7\n")}).port == 7


def test_text_is_read_as_what_the_setting_needs():
    config = loaded(
        environment={
            "MEADOWLARK_DATABASES": "one, two",
            "MEADOWLARK_CREATE_DATABASES": "true",
            "MEADOWLARK_IDLE_DATABASE_SECONDS": "1.5",
        }
    )
    assert (config.databases, config.create_databases, config.idle_database_seconds) == (["one", "two"], True, 1.5)


def test_other_variables_of_the_machine_are_left_alone():
    loaded(environment={"PATH": "/bin", "MEADOWLARK_NO_SKIPS": "1", "MEADOWLARK_SERVICE_HOST": "10.0.0.1"})


def test_a_config_survives_the_way_to_a_worker():
    config = loaded(databases="one,two")
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config


# Refusals


def test_an_unknown_key_in_the_file_is_refused_with_the_nearest(toml):
    file = toml("prot = 1\n")
    assert refused(file=file) == f"prot in {file} is not a setting; did you mean port in {file}?"


def test_an_unknown_variable_is_refused_with_the_nearest():
    assert (
        refused(environment={"MEADOWLARK_WORKER": "1"}) == "MEADOWLARK_WORKER is not a setting; did you mean MEADOWLARK_WORKERS?"
    )


def test_an_unknown_key_that_is_near_nothing_is_refused_with_the_list(toml):
    assert "is not a setting; take it out; the settings are host, port, data" in refused(file=toml("[serve]\nport = 1\n"))


def test_the_mode_is_no_setting(toml):
    assert "the mode is the command" in refused(file=toml("mode = 'dev'\n"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("port = '9000'", "port in {file} is '9000'; expected whole number"),
        ("port = true", "port in {file} is True; expected whole number"),
        ("port = 65536", "port in {file} is 65536; expected whole number <= 65535"),
        ("databases = 'one'", "databases in {file} is 'one'; expected list of text"),
        ("durability = 'fast'", "durability in {file} is 'fast'; expected durable or relaxed"),
        ("idle_database_seconds = 0", "idle_database_seconds in {file} is 0; expected number > 0.0"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_was_expected(toml, text, complaint):
    file = toml(text)
    assert refused(file=file) == complaint.format(file=file)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"port": "http"}, "--port is 'http'; expected whole number"),
        ({"workers": "-1"}, "--workers is '-1'; expected whole number >= 0"),
        ({"log_format": "xml"}, "--log-format is 'xml'; expected text or json"),
        ({"databases": "good,../bad"}, "databases: '../bad' is not a database name"),
        ({"data": ""}, "data is empty"),
        ({"tls_certificate": "c.pem"}, "tls_key is empty"),
        ({"tls_certificate": "/none.pem", "tls_key": "/none.key"}, "tls_certificate is '/none.pem'; expected a file"),
    ],
)
def test_flags_are_refused_in_the_same_words(flags, complaint):
    assert refused(**flags).startswith(complaint)


def test_a_file_that_is_not_there_is_refused():
    assert refused(file="/none.toml") == "the configuration file /none.toml cannot be read: No such file or directory"


def test_a_file_that_is_not_toml_is_refused_with_the_line(toml):
    assert "is not TOML" in refused(file=toml("port: 9000\n"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_dev_is_not_to_be_reached_from_elsewhere(host):
    assert "loopback addresses only" in refused("dev", host=host)
    assert loaded("serve", host=host).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_dev_listens_on_any_loopback_address(host):
    assert loaded("dev", host=host).host == host


# Words


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_can_be_said_in_words(name):
    assert describe(name).endswith(".")
    assert type_of(name)
    assert flag_of(name) == "--" + name.replace("_", "-")
    assert variable_of(name) == "MEADOWLARK_" + name.upper()
    assert all(default_of(name, mode) is not None for mode in ("serve", "dev"))


def test_core_count_is_what_this_process_may_use():
    assert core_count() == len(os.sched_getaffinity(0))
