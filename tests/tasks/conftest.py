"""What tests of tasks share."""

import pytest

from tests.warehouse import rows


@pytest.fixture
def lake(home):
    """An empty lake in a home of its own."""
    with rows.open_lake(home) as lake:
        yield lake
