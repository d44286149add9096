# SPDX-License-Identifier: BSD-2-Clause
"""The lab's fixtures."""
import importlib.util
import pathlib
import sys

LAB = pathlib.Path(__file__).parents[1] / "lab"
sys.path.insert(0, str(LAB))
_spec = importlib.util.spec_from_file_location("lab_conftest", LAB / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
machine, lab = _module.machine, _module.lab
