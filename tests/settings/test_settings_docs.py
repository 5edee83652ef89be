from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.settings_docs import documented, render, settings_classes

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
CLASSES = settings_classes()
ROWS = [(cls, row) for cls in CLASSES for row in documented(cls)]


@pytest.mark.parametrize(("cls", "row"), ROWS, ids=lambda part: getattr(part, "name", ""))
def test_every_setting_is_documented(cls, row):
    assert len(row.text) > 20, f"{cls.__name__}.{row.name} needs a docstring under it"
    assert row.text.endswith("."), f"{cls.__name__}.{row.name}"


def test_no_two_classes_share_a_setting():
    """They share the environment: one variable must not set two things."""
    names = [row.name for _, row in ROWS]

    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_the_page_is_current():
    assert PAGE.read_text() == render(CLASSES), (
        "run: python -m orchestrator.settings_docs > docs/settings.md"
    )
