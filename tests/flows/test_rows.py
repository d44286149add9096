# SPDX-License-Identifier: BSD-2-Clause
"""Every figure of the draft has its row, every row one test that CTest runs, and its section in docs/flows.md."""

import importlib
import json
import os
import pathlib
import subprocess

import page
from rows import FIGURES, ROWS, heading

HERE = pathlib.Path(__file__).parent


def marked_tests():
    """The figures of each test that is marked with some, and the file it is in."""
    found = []
    for path in sorted(HERE.glob("test_*.py")):
        for name, value in vars(importlib.import_module(path.stem)).items():
            marks = [mark for mark in getattr(value, "pytestmark", []) if mark.name == "figures"]
            if name.startswith("test_") and marks:
                assert len(marks) == 1, f"{path.name}: {name} has more than one row"
                found.append((marks[0].args, path.name))
    return found


def test_the_rows_hold_each_figure_once():
    assert [figure for row in ROWS for figure in row.figures] == list(FIGURES)


def test_each_row_has_one_test():
    assert sorted(figures for figures, _ in marked_tests()) == [row.figures for row in ROWS]


def test_ctest_runs_every_test_with_figures():
    listed = subprocess.run(
        ["ctest", "--test-dir", os.environ["PORTOLAN_BUILD"], "--show-only=json-v1", "-L", "^flows$"],
        capture_output=True, text=True, check=True)
    run = {pathlib.Path(test["command"][-1]).name for test in json.loads(listed.stdout)["tests"]}
    assert {file for _, file in marked_tests()} <= run


def test_the_page_has_the_sections_of_all_rows_and_nothing_else():
    if page.is_being_written():
        return
    text = page.PAGE.read_text(encoding="utf-8")
    assert list(page.sections(text)) == [heading(row) for row in ROWS], page.REMEDY
    assert text == page.render(page.sections(text)), page.REMEDY
