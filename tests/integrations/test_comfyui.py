"""The ComfyUI node, loaded the way ComfyUI loads a folder of `custom_nodes`.

The loader below is `load_custom_node` of ComfyUI's nodes.py, without its database and its web
folder: a module out of the folder's `__init__.py`, under the folder's path as its name.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.chat import SYSTEM
from tests.app.chat.fakes import endpoint

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "integrations" / "comfyui"


def load_custom_node(module_path: Path):
    """(classes, names) that ComfyUI would register."""
    sys_module_name = str(module_path).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(sys_module_name, module_path / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[sys_module_name] = module
    spec.loader.exec_module(module)
    return module.NODE_CLASS_MAPPINGS, module.NODE_DISPLAY_NAME_MAPPINGS


@pytest.fixture
def node():
    classes, names = load_custom_node(FOLDER)
    assert set(classes) == set(names)
    return classes["DiffChatRewrite"]


@pytest.fixture
def served():
    with endpoint() as server:
        yield server


def call(node, **inputs):
    """As ComfyUI's executor does: defaults filled in, validated, `FUNCTION` called by keywords."""
    types = node.INPUT_TYPES()
    wanted = types["required"] | types["optional"]
    values = {name: kind[1].get("default") for name, kind in wanted.items()} | inputs
    assert set(values) == set(wanted)
    checked = node.VALIDATE_INPUTS(values["endpoint"])
    if checked is not True:
        raise RuntimeError(checked)
    result = getattr(node(), node.FUNCTION)(**values)
    assert isinstance(result, tuple)
    assert len(result) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    return result[0]


def test_it_declares_what_comfyui_reads(node):
    for kind, options in (node.INPUT_TYPES()["required"] | node.INPUT_TYPES()["optional"]).values():
        assert kind in ("STRING", "FLOAT")
        assert isinstance(options, dict)
    assert node.RETURN_TYPES == ("STRING",)
    assert callable(getattr(node, node.FUNCTION))
    assert node.CATEGORY


def test_prompt_and_instruction_in_new_prompt_out(node, served):
    said = {"prompt": "a red car", "instruction": "make it blue", "endpoint": served.base_url}
    assert call(node, **said) == "a blue car"


def test_with_diffchat_installed_what_the_model_lost_is_put_back(node, served):
    said = {"prompt": "a (red car:1.3)", "instruction": "quote", "endpoint": served.base_url}
    assert "(red car:1.3)" in call(node, **said)


def test_errors_are_for_the_person_at_the_node(node, served):
    served.fails = 404, {"error": {"message": "no such model"}}
    said = {"prompt": "a red car", "instruction": "make it blue"}
    with pytest.raises(Exception, match="no such model"):
        call(node, **said, endpoint=served.base_url)
    with pytest.raises(RuntimeError, match="prompt is empty"):
        call(node, prompt=" ", endpoint=served.base_url)
    with pytest.raises(RuntimeError, match="http://host:port/v1"):
        call(node, **said, endpoint="localhost")


def test_the_folder_alone_is_enough(served, tmp_path):
    """In a ComfyUI without DiffChat the node asks the endpoint by the standard library."""
    shutil.copytree(FOLDER, tmp_path / "diffchat")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import diffchat\n"
        "node = diffchat.NODE_CLASS_MAPPINGS['DiffChatRewrite']()\n"
        "print(node.rewrite('a red car', 'make it blue', sys.argv[2], 'm')[0])\n"
        "try: node.rewrite('a red car', 'make it blue', '', 'm')\n"
        "except RuntimeError as error: print(error)"
    )
    out = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(tmp_path), served.base_url],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert out.stdout.splitlines()[0] == "a blue car", out.stderr
    assert "give an endpoint" in out.stdout
    asked = served.asked[0]["messages"]
    assert asked[0] == {"role": "system", "content": SYSTEM}
    assert asked[1]["content"] == "Prompt: a red car\nInstruction: make it blue"
