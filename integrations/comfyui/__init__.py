"""DiffChat for ComfyUI: copy or link this folder into `ComfyUI/custom_nodes/diffchat`.

ComfyUI imports this module and reads the two mappings.  `docs/serving.md` says how to set it up.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
