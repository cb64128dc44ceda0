"""Text files: encodings, odd bytes, lines of any length."""

import gzip
import tracemalloc

import pytest

from models.collect import read_source, shards
from models.collect.source import READ_BYTES
from schemas.errors import SourceError
from schemas.settings import SourceSettings
from tests.models.collect.conftest import reasons, texts


def test_lines_are_numbered_and_carry_the_licence(read):
    lines = read("prompts.txt", "a cat\r\ntwo dogs\n\nthree birds", licence="CC0-1.0")
    assert [(line.line, line.text) for line in lines] == [
        (1, "a cat"),
        (2, "two dogs"),
        (3, ""),
        (4, "three birds"),
    ]
    assert {line.licence for line in lines} == {"CC0-1.0"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_are_read(read, encoding):
    assert texts(read("p.txt", "a café\nein Haus".encode(encoding))) == ["a café", "ein Haus"]


def test_other_encodings_are_refused_line_by_line_and_say_what_to_do(read):
    lines = read("p.txt", "a cat\na café in Málaga\na dog\n".encode("latin-1"))
    assert texts(lines) == ["a cat", "a dog"]
    assert lines[1].reason == "not_text"
    assert "0xe9" in lines[1].detail
    assert "UTF-8" in lines[1].detail


def test_gzip_is_unpacked(read):
    assert texts(read("p.txt.gz", gzip.compress(b"a cat\na dog"))) == ["a cat", "a dog"]
    with pytest.raises(SourceError, match="cannot be read"):
        read("broken.txt.gz", gzip.compress(b"a cat\na dog" * 99)[:-9])


def test_a_long_line_is_refused_in_bounded_memory(tmp_path):
    path = tmp_path / "long.txt"
    with path.open("wb") as file:
        file.write(b"a cat\n")
        for _ in range(48):
            file.write(b"x" * READ_BYTES)
        file.write(b"\na dog\n")
    tracemalloc.start()
    lines = list(read_source(SourceSettings(location=str(path))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reasons(lines) == [None, "too_long", None]
    assert len(lines[1].text) == 2_000
    assert f"{48 * READ_BYTES:,}" in lines[1].detail
    assert peak < 12 * READ_BYTES


def test_many_long_lines_are_not_held_either(read):
    lines = read("long.txt", "\n".join(["x" * 60_000] * 20))
    assert {(line.reason, len(line.text)) for line in lines} == {("too_long", 2_000)}


@pytest.mark.slow
def test_a_line_of_a_gigabyte(tmp_path):
    path = tmp_path / "long.txt"
    with path.open("wb") as file:
        for _ in range(1024):
            file.write(b"x" * READ_BYTES)
        file.write(b"\na dog\n")
    assert reasons(list(read_source(SourceSettings(location=str(path))))) == ["too_long", None]


def test_what_cannot_be_a_source_says_so(read, tmp_path):
    def refuse(message, location):
        with pytest.raises(SourceError, match=message):
            list(read_source(SourceSettings(location=str(location))))

    refuse("no file .*missing.txt", tmp_path / "missing.txt")
    refuse("is a directory", tmp_path)
    refuse("No file matches", tmp_path / "*.none")
    with pytest.raises(SourceError, match="is empty"):
        read("empty.txt", "")
    for name in ("mark.txt", "mark.csv", "mark.tsv", "mark.json", "mark.jsonl"):
        with pytest.raises(SourceError, match=r"nothing to collect|not a JSON list"):
            read(name, b"\xef\xbb\xbf")
    with pytest.raises(SourceError, match="not a text file"):
        read("picture.txt", bytes(range(256)) * 40)
    with pytest.raises(SourceError, match="not a text file"):
        read("marked_by_nothing.txt", "a cat on a mat".encode("utf-16-le"))


def test_a_path_of_the_project_is_found_from_anywhere(tmp_path, monkeypatch):
    """As weights and training files are: a profile names its files from the project."""
    monkeypatch.chdir(tmp_path)
    source = SourceSettings(location="profiles/data/world_prompts.txt")
    assert len(list(read_source(source))) > 100
    (tmp_path / "profiles" / "data").mkdir(parents=True)
    (tmp_path / source.location).write_text("a file of one's own\n")
    assert [line.text for line in read_source(source)] == ["a file of one's own"]


def test_a_glob_reads_its_files_in_order_and_counts_through(tmp_path):
    for name, text in (("b.txt", "three\nfour"), ("a.txt", "one\ntwo\n")):
        (tmp_path / name).write_text(text)
    lines = list(read_source(SourceSettings(location=str(tmp_path / "*.txt"))))
    assert [line.text for line in lines] == ["one", "two", "three", "four"]
    assert [line.line for line in lines] == [1, 2, 3, 4]


def test_a_limit_stops_reading(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("one\ntwo\nthree\n")
    source = SourceSettings(location=str(path))
    assert [line.text for line in read_source(source, 2)] == ["one", "two"]
    assert list(read_source(source, 0)) == []


def test_shards_hold_all_lines_in_order(read):
    lines = read("p.txt", "\n".join(map(str, range(10))))
    parts = list(shards(lines, 4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert [line for part in parts for line in part] == lines
