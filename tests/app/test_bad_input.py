"""Bad input to `diffchat build`: one message that says what and what to do, and nothing lost."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)


def write(path, data: bytes):
    path.write_bytes(data)
    return str(path)


BAD_SOURCES = {
    "missing": (lambda p: str(p / "nothing.txt"), "There is no file"),
    "directory": (lambda p: str(p), "directory"),
    "empty": (lambda p: write(p / "empty.txt", b""), "nothing to collect"),
    "binary": (lambda p: write(p / "noise.txt", bytes(range(256)) * 40), ""),
    "no column": (lambda p: write(p / "t.csv", b"a,b\n1,2\n"), "no column"),
    "not parquet": (lambda p: write(p / "t.parquet", b"PAR1 no"), "arquet"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_a_bad_source_is_a_message_and_not_a_crash(case, diffchat, tmp_path):
    make, said = BAD_SOURCES[case]
    out = diffchat.run("build", "--no-render", "--prompts", make(tmp_path), code=None)
    assert out.returncode == 2, out.stderr
    assert said in out.stderr
    assert "Traceback" not in out.stderr


AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def read_only_home():
    """Outside the folder of the tests, into which no other user may look."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        home.mkdir(mode=0o555)
        yield home


def test_a_read_only_home_says_which_variable_to_set(diffchat, read_only_home):
    """As another user where this one is root, who may write anywhere."""
    diffchat.home, diffchat.profile = read_only_home, "embedded"
    if os.geteuid() == 0:
        diffchat.run_by = AS_NOBODY
        if not shutil.which("setpriv") or diffchat.run("--help", code=None).returncode:
            pytest.skip("another user cannot run this checkout")
    out = diffchat.run("build", "--no-render", code=3)
    assert "DIFFCHAT_HOME" in out.stderr
    assert "Traceback" not in out.stderr


def test_a_full_disk_is_a_message_and_the_build_goes_on_afterwards(diffchat, tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL")  # a server of its own fills the same disk
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        diffchat.home = disk / "home"
        out = diffchat.run("build", "--no-render", code=3)
        assert "full" in out.stderr
        assert "Traceback" not in out.stderr
        subprocess.run(["mount", "-o", "remount,size=300m", str(disk)], check=True)
        diffchat.run("build", "--no-render")
        paid = diffchat.rows(
            "SELECT count(*) AS answers, count(DISTINCT call_id) AS calls FROM teacher_calls"
        )[0]
        assert paid["answers"] == paid["calls"] > 0
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_home_below_a_file_says_which_variable_to_set(diffchat, tmp_path):
    (tmp_path / "file").write_text("")
    diffchat.home = tmp_path / "file" / "home"
    out = diffchat.run("build", "--no-render", code=3)
    assert "DIFFCHAT_HOME" in out.stderr
    assert "Traceback" not in out.stderr


def test_a_teacher_that_is_not_there_is_named_and_nothing_is_lost(diffchat):
    words = ("build", "--no-render", "--set", "teacher.base_url=http://127.0.0.1:9/v1")
    out = diffchat.run(*words, "--set", "teacher.api_key_env=HOME", code=4)
    assert "127.0.0.1:9" in out.stderr
    assert "Traceback" not in out.stderr
    collected = diffchat.rows("SELECT count(*) AS n FROM raw_prompts")
    assert collected[0]["n"] > 0
