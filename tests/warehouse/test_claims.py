"""Claims: one owner at a time, taken over from the dead."""

import subprocess
import sys

TAKE = """
import sys
from pathlib import Path
from tests.warehouse import rows
print(rows.open_lake(Path(sys.argv[1])).claims.take("teach", sys.argv[2:], lease_s=3600))
"""


def take_elsewhere(home, *ids):
    done = subprocess.run(
        [sys.executable, "-c", TAKE, str(home), *ids], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_an_id_has_one_owner_for_each_stage(lake):
    assert lake.claims.take("teach", ["a", "b"], "me") == ["a", "b"]
    assert lake.claims.take("teach", ["b", "c"], "you") == ["c"]
    assert lake.claims.take("render", ["b"], "you") == ["b"]
    assert lake.claims.take("teach", ["b", "a"], "me") == ["b", "a"]
    lake.claims.release("teach", ["b"], "you")
    assert lake.claims.take("teach", ["b"], "you") == []
    lake.claims.release("teach", ["b"], "me")
    assert lake.claims.take("teach", ["b"], "you") == ["b"]


def test_a_lease_ends(lake):
    lake.claims.take("teach", ["a"], "me", lease_s=-1)
    assert lake.claims.take("teach", ["a"], "you") == ["a"]


def test_other_processes_are_kept_out_and_dead_ones_are_not_waited_for(home, lake):
    lake.claims.take("teach", ["a"])
    assert take_elsewhere(home, "a", "b") == "['b']"
    assert lake.claims.take("teach", ["a", "b"]) == ["a", "b"]
