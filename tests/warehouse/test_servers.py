"""The same lake on real servers: a PostgreSQL catalog, and S3 for the data and the images."""

import glob
import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from schemas import identity
from schemas.errors import WarehouseError
from schemas.settings import DecideSettings
from tests.warehouse import rows

BIN = next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)), None)


def _as_postgres(*command: str) -> list[str]:
    """PostgreSQL refuses to run as root: as root, run it as its own user."""
    if os.geteuid() != 0:
        return list(command)
    return ["runuser", "-u", "postgres", "--", *command]


@pytest.fixture(scope="module")
def postgres():
    """URL of an empty database on a server of this test's own."""
    if BIN is None:
        pytest.skip("needs the Debian package postgresql: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data, sockets = folder / "data", folder
    subprocess.run(
        _as_postgres(f"{BIN}/initdb", "-D", str(data), "-A", "trust", "-U", "diffchat", "-N"),
        check=True,
        capture_output=True,
        cwd="/tmp",
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -k {sockets} -c fsync=off -c listen_addresses=127.0.0.1"
    control = [f"{BIN}/pg_ctl", "-D", str(data), "-w"]
    start = [*control, "-l", str(folder / "log"), "-o", options, "start"]
    subprocess.run(_as_postgres(*start), check=True, capture_output=True, cwd="/tmp")
    try:
        yield f"postgresql://diffchat:hush@127.0.0.1:{port}/postgres"
    finally:
        stop = _as_postgres(*control, "-m", "immediate", "stop")
        subprocess.run(stop, check=False, capture_output=True, cwd="/tmp")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def s3():
    """Endpoint of an S3 server in this process, with one bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="lake")
    try:
        yield endpoint
    finally:
        server.stop()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def whole_life(home, **settings):
    """Collect to publish, time travel, purge and maintenance on one lake."""
    with rows.open_lake(home, **settings) as lake:
        assert rows.published(lake) == 1
        lake.append("triples", rows.triples(rows.triple("a bird", "i", "a red bird")))
        journal = lake.journal("teacher_calls")
        journal.append(rows.call("a cat"))
        assert journal.ingest() == {"teacher_calls": 1}
        assert lake.publish(lake.decide(DecideSettings())) == 2
        assert lake.count_todo("render", tis_id=rows.TIS, seeds=rows.SEEDS) == 16
        rows.render_all(lake, pictures=True)
        assert lake.count_todo("render", tis_id=rows.TIS, seeds=rows.SEEDS) == 0
        sha = lake.query("SELECT image_sha256 FROM renders").column(0)[0].as_py()
        assert lake.images.get(sha).startswith(b"\x89PNG")
        assert lake.images.thumbnail(sha)
        assert lake.claims.take("teach", ["a"], "me") == ["a"]
        assert lake.claims.take("teach", ["a"], "you") == []
        assert lake.query("FROM instructpe", version=1).num_rows == 3
        assert lake.maintain(grace_s=0)["snapshots_expired"] > 0
        assert lake.purge([identity.raw_prompt_id("a cat")], "asked to") == [1, 2]
        assert lake.gc(grace_s=0) == 0
    with rows.open_lake(home, read_only=True, **settings) as lake:
        assert lake.query("FROM triples").num_rows == 3
        with pytest.raises(WarehouseError):
            lake.query("FROM read_text('/etc/hostname')")


def _append(home, settings, start):
    start.wait()
    with rows.open_lake(home, **settings) as lake:
        for i in range(4):
            lake.append("raw_prompts", rows.prompts([f"p{i}", f"q{i}"]))


@pytest.mark.needs_system("postgresql")
def test_a_catalog_in_postgresql(home, postgres):
    whole_life(home, catalog=postgres)


@pytest.mark.needs_system("postgresql")
def test_two_processes_with_one_postgresql(home, postgres):
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE two")
    settings = {"catalog": postgres.replace("/postgres", "/two")}
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    # Two machines: each has a home of its own, the catalog and the data path are shared.
    settings["data_path"] = str(home / "data")
    workers = [
        context.Process(target=_append, args=(home / str(i), settings, start)) for i in range(2)
    ]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    with rows.open_lake(home / "0", **settings) as lake:
        found = lake.query("SELECT count(*), count(DISTINCT raw_prompt_id) FROM raw_prompts")
        assert [column[0].as_py() for column in found.columns] == [8, 8]


def test_a_password_is_never_shown(home):
    with pytest.raises(WarehouseError) as told:
        rows.open_lake(home, catalog="postgresql://me:hush@127.0.0.1:1/db")
    assert "hush" not in str(told.value)


def test_data_and_images_in_s3(home, s3):
    whole_life(home, data_path="s3://lake/instructpe", s3_endpoint=s3)
    assert not (home / "images").exists()
    assert not list(home.rglob("*.parquet"))


@pytest.mark.needs_system("postgresql")
def test_postgresql_and_s3_together(home, postgres, s3):
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shared")
    catalog = postgres.replace("/postgres", "/shared")
    whole_life(home, catalog=catalog, data_path="s3://lake/shared", s3_endpoint=s3)
