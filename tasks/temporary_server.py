"""A Prefect API for the life of one process: `diffchat build` records its flow run there.

Run by `app.prefect_stack` as `python -m tasks.temporary_server PORT DATABASE`, where DATABASE is a
file to be made in a folder of its own; not meant for a person.  It differs from Prefect's own
ephemeral server in three ways that a build needs:

- its tables are made at once from Prefect's models, where a new database otherwise goes through
  every migration since version 2 (6 s of CPU);
- it has a database to itself, so that two builds never lock each other out;
- it ends with its parent, also after `kill -9`, and takes its database with it.

Leaves out: schedules, automations, the web page and history; `make up` starts the real server.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

LOOK_EVERY_S = 1.0


def main(port: int, database: Path) -> None:
    """Serve on 127.0.0.1:`port` until the parent is gone or SIGTERM comes."""
    parent = os.getppid()
    threading.Thread(target=_end_with, args=(parent, database), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _end(database))
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}"
    os.environ["PREFECT_SERVER_DATABASE_MIGRATE_ON_START"] = "false"
    os.environ["PREFECT__SERVER_EPHEMERAL"] = "1"  # only the services that a flow run needs

    import uvicorn
    from prefect.server.api.server import create_app

    asyncio.run(_create_tables())
    server = uvicorn.Server(
        uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="critical")
    )
    # The handler above stays: a graceful end would wait for connections that nobody needs.
    server.capture_signals = nullcontext  # pyright: ignore[reportAttributeAccessIssue]
    server.run()


async def _create_tables() -> None:
    from prefect.server.database import provide_database_interface
    from sqlalchemy import Connection
    from sqlalchemy.schema import CreateIndex, CreateTable

    database = provide_database_interface()

    def create(connection: Connection) -> None:
        for table in database.Base.metadata.sorted_tables:
            connection.execute(CreateTable(table))
            for index in table.indexes:  # Prefect's models name one of them twice
                connection.execute(CreateIndex(index, if_not_exists=True))

    engine = await database.engine()
    async with engine.begin() as connection:
        await connection.run_sync(create)
    await engine.dispose()


def _end_with(parent: int, database: Path) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    _end(database)


def _end(database: Path) -> None:
    """At once: nothing in the database outlives this process, so there is nothing to close."""
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink(missing_ok=True)
    database.parent.rmdir()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
