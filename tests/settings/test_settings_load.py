from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.settings import Secret, check_tables, load, read_file


@dataclass(frozen=True, slots=True, kw_only=True)
class OvenSettings:
    name: str
    count: int = field(default=3, metadata={"min": 1, "max": 9})
    share: float = 0.5
    hot: bool = False
    mode: str = field(default="a", metadata={"choices": ("a", "b")})
    folder: Path = Path("x")
    word: Secret = field(default_factory=lambda: Secret(""))
    parts: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None


def test_flags_win_over_environment_over_file_over_default():
    file = {"oven": {"name": "file", "count": 4, "share": 0.25}}
    env = {"SAGA_NAME": "env", "SAGA_COUNT": "5"}
    settings = load(OvenSettings, flags={"name": "flag", "count": None}, env=env, file=file)

    assert (settings.name, settings.count, settings.share, settings.hot) == (
        "flag",
        5,
        0.25,
        False,
    )


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("COUNT", "9", 9),
        ("SHARE", "0.1", 0.1),
        ("HOT", "yes", True),
        ("HOT", "False", False),
        ("FOLDER", "/a/b", Path("/a/b")),
        ("WORD", "pst", Secret("pst")),
        ("PARTS", "a, b c", ("a", "b", "c")),
        ("EXTRA", "k=v, l=w=x", {"k": "v", "l": "w=x"}),
        ("NOTE", "n", "n"),
    ],
)
def test_texts_become_what_the_field_is(key, text, value):
    settings = load(OvenSettings, env={"SAGA_NAME": "n", f"SAGA_{key}": text})

    assert getattr(settings, key.lower()) == value


def test_a_file_gives_typed_values(tmp_path):
    path = tmp_path / "saga.toml"
    path.write_text(
        '[oven]\nname = "n"\ncount = 2\nhot = true\nparts = ["a"]\nextra = {k = 1, l = "w"}\n'
    )
    tables = read_file(path)
    check_tables(tables, (OvenSettings,))
    settings = load(OvenSettings, file=tables)

    assert (settings.count, settings.hot, settings.parts) == (2, True, ("a",))
    assert settings.extra == {"k": "1", "l": "w"}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, ["name is not set", "--name", "SAGA_NAME", "[oven]"]),
        ({"SAGA_COUNT": "10"}, ["count='10'", "SAGA_COUNT", "from 1 to 9"]),
        ({"SAGA_COUNT": "many"}, ["count='many'", "whole number"]),
        ({"SAGA_COUNT": "1.5"}, ["count='1.5'", "whole number"]),
        ({"SAGA_SHARE": "x"}, ["share='x'", "number"]),
        ({"SAGA_HOT": "maybe"}, ["hot='maybe'", "true or false"]),
        ({"SAGA_MODE": "c"}, ["mode='c'", "'a', 'b'"]),
        ({"SAGA_EXTRA": "k"}, ["extra='k'", "key=value"]),
        ({"SAGA_WORD_FILE": "/nowhere"}, ["SAGA_WORD_FILE", "/nowhere"]),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_range(env, words):
    if env:
        env = {"SAGA_NAME": "n"} | env
    with pytest.raises(ConfigurationError) as caught:
        load(OvenSettings, env=env)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("count", True), ("count", 1.5), ("hot", 1), ("name", 3), ("parts", [1]), ("extra", [1])],
)
def test_a_value_of_another_type_in_the_file_is_refused(key, value):
    with pytest.raises(ConfigurationError, match=rf"{key}=.*table \[oven\]"):
        load(OvenSettings, file={"oven": {"name": "n", key: value}})


def test_misspelt_tables_and_keys_are_refused_with_a_hint():
    with pytest.raises(ConfigurationError, match=r"\[ovn\]; did you mean oven"):
        check_tables({"ovn": {}}, (OvenSettings,))
    with pytest.raises(ConfigurationError, match=r"conut.*did you mean count"):
        check_tables({"oven": {"conut": 1}}, (OvenSettings,))


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "saga.toml"
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_file(path)
    assert read_file(path, must_exist=False) == {}
    path.write_text("= 1")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_file(path)
    path.write_text("name = 1")
    with pytest.raises(ConfigurationError, match="outside of a table"):
        read_file(path)


def test_a_secret_comes_from_a_file_without_its_line_end(tmp_path):
    path = tmp_path / "word"
    path.write_text("pst\n")
    settings = load(OvenSettings, env={"SAGA_NAME": "n", "SAGA_WORD_FILE": str(path)})

    assert settings.word.reveal() == "pst"


def test_a_secret_is_seen_nowhere():
    secret = Secret("hunter2")
    settings = OvenSettings(name="n", word=secret)
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        repr(settings),
        f"{secret!r:>20}",
    ):
        assert "hunter2" not in text
        assert "***" in text
    with pytest.raises(ConfigurationError) as caught:
        load(OvenSettings, file={"oven": {"name": "n", "word": 12345}})
    assert "12345" not in str(caught.value)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert not Secret("")
    assert repr(Secret("")) == "Secret('')"
