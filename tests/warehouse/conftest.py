"""A fresh lake for each test: a copy of one empty lake, since making its tables takes a second."""

import shutil

import pytest

from tests.warehouse import rows


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    rows.open_lake(folder).close()
    return folder


@pytest.fixture
def lake(home, empty_home):
    shutil.copytree(empty_home, home, dirs_exist_ok=True)
    with rows.open_lake(home) as lake:
        yield lake
