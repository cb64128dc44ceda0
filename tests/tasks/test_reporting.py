"""The examples of a report: they illustrate a published version and cannot fail it."""

import io

from PIL import Image

from tasks.reporting import thumbnail
from tests.warehouse import rows


def test_a_missing_or_corrupt_picture_is_left_out_and_logged(home, caplog):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    with rows.open_lake(home) as lake:
        good = lake.images.put(buffer.getvalue())
        assert thumbnail(lake, good)
        assert thumbnail(lake, "0" * 64) is None
    assert "is missing" in caplog.text
