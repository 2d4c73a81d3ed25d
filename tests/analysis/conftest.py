"""What several files of tests look at."""

from __future__ import annotations

import pytest

from brfkit.reports.build import report
from tests.analysis.report_page import QUICK, tiny_run


@pytest.fixture(scope="session")
def report_folder(tmp_path_factory):
    """A run that nothing may change; copy it where that is needed."""
    return tiny_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="session")
def made_report(report_folder):
    """The report in that folder, ``report.html``."""
    return report(report_folder, threads=1, **QUICK)
