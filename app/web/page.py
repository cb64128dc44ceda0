"""The page's layout in Gradio, and which click does what (`actions`)."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import gradio as gr

from app.web import views
from app.web.actions import OUTPUTS, Actions

STORAGE_KEY = "diffchat_session"
OTHER_THREADS = 16  # for what is no turn: going back, files, pictures
# One click on a thumbnail, by mouse or keyboard, is an event with the turn's number.
TREE_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-turn]');
  if (button) trigger('select', {turn: Number(button.dataset.turn)});
});
"""
DARK_JS = "() => { document.body.classList.toggle('dark'); }"
SHARE_JS = """(shared) => shared
  ? `${location.origin}${location.pathname}?shared=${shared}`
  : 'There is no turn to share yet.'"""
# What was sent leaves the box at once, in the browser: what is typed while a turn is made stays.
TAKE_JS = "(typed) => ['', typed]"
# What was not made comes back to be sent again, unless something else stands there by then.
BACK_JS = "(typed, unsent) => typed || unsent"
# Ctrl/⌘ + Z takes a turn back where no text is being edited.
KEYS_JS = """() => {
  document.documentElement.lang = 'en';
  document.addEventListener('keydown', (event) => {
    const typing = /^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName ?? '');
    if ((event.ctrlKey || event.metaKey) && event.key === 'z' && !typing) {
      event.preventDefault();
      document.querySelector(event.shiftKey ? '#redo' : '#undo')?.click();
    }
  });
}"""


def theme() -> gr.themes.Base:
    """Fonts of the machine itself: the page fetches nothing from anywhere else."""
    sans, mono = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")
    return gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=sans, font_mono=mono)


def style() -> str:
    return (files("app.web") / "style.css").read_text(encoding="utf-8")


def build_page(
    actions: Actions, models: list[tuple[str, str]], tis_models: list[str], voting: bool = False
) -> gr.Blocks:
    """The page; every event of it is private, so that it has no API beside itself.

    `models` are what is shown and the name it stands for; `voting`: there is a page to vote on.
    """
    workshop = actions.workshop
    chat = workshop.settings.chat
    with gr.Blocks(
        title="DiffChat", analytics_enabled=False, fill_width=True, delete_cache=(3_600, 86_400)
    ) as page:
        parts: dict[str, Any] = {"session_id": _browser_id()}
        with gr.Row(elem_classes="top"):
            said = "Say what to change. It writes the prompt and draws the picture."
            if voting:
                said += " Or [judge pictures in pairs](vote/)."
            gr.Markdown(f"# DiffChat\n{said}")
            dark = gr.Button("Dark / light", size="sm", min_width=90, scale=0)
        with gr.Row(equal_height=False, elem_classes="sides"):
            with gr.Column(scale=5, min_width=320):
                parts |= _chat_column(chat)
            with gr.Column(scale=6, min_width=320):
                parts |= _picture_column()
        parts |= _more(workshop, models, tis_models)
        _wire(parts, actions)
        dark.click(None, js=DARK_JS, api_visibility="private")
        page.load(None, js=KEYS_JS, api_visibility="private")
        page.load(
            actions.open,
            parts["session_id"],
            [parts[name] for name in OUTPUTS],
            api_visibility="private",
            show_progress="hidden",
        )
    # Turns wait in a line of our own (`Actions.line`), where they can be stopped and see their
    # place; each that waits holds a thread.
    page.max_threads = chat.at_once + chat.queue + OTHER_THREADS
    page.queue(max_size=chat.queue, default_concurrency_limit=8)
    return page


def _browser_id() -> gr.BrowserState:
    # The id itself is the secret; the encryption around it only has to outlive a restart.
    return gr.BrowserState("", storage_key=STORAGE_KEY, secret=STORAGE_KEY)


def _chat_column(chat: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    parts["chat"] = gr.Chatbot(
        label="Conversation", height=280, show_label=False, render_markdown=False,
        sanitize_html=True,
        feedback_options=None, buttons=[], elem_id="conversation", allow_tags=False,
        placeholder="Write a first prompt, or start from a picture.",
    )  # fmt: skip
    parts["status"] = gr.HTML(views.status_html("Loading …"), elem_id="status")
    parts["message"] = gr.Textbox(
        label="Prompt, then instructions", lines=2, max_lines=6, elem_id="message", autofocus=True,
        placeholder="a red car at night … then: make it blue", submit_btn=False,
    )  # fmt: skip
    parts["sent"] = gr.Textbox(visible=False)
    parts["unsent"] = gr.Textbox(visible=False)
    with gr.Row(elem_classes="buttons"):
        parts["send"] = gr.Button("Send", variant="primary", elem_id="send", min_width=80)
        parts["better"] = gr.Button("Make it better", elem_id="better", min_width=140)
        parts["stop"] = gr.Button("Stop", variant="stop", elem_id="stop", min_width=70)
    with gr.Row(elem_classes="buttons"):
        parts["undo"] = gr.Button("Undo", elem_id="undo", min_width=70)
        parts["redo"] = gr.Button("Redo", elem_id="redo", min_width=70)
        parts["vary"] = gr.Button("Other seeds", elem_id="vary", min_width=100)
        parts["reword"] = gr.Button("Other words", elem_id="reword", min_width=100)
        parts["number"] = gr.Number(
            chat.variations, label="How many variations", minimum=1, maximum=16, precision=0,
            min_width=70, elem_id="number", container=False,
        )  # fmt: skip
    parts["upload"] = gr.UploadButton(
        "Start from a picture", file_types=["image"], elem_id="upload", size="sm"
    )
    with gr.Row(elem_classes="samples"):
        parts["samples"] = [gr.Button(text, size="sm", min_width=120) for text in chat.samples]
    return parts


def _picture_column() -> dict[str, Any]:
    parts: dict[str, Any] = {}
    parts["picture"] = gr.HTML(views.picture_html(None, None), elem_id="picture", label="Picture")
    parts["prompt"] = gr.HTML(elem_id="prompt", label="Prompt")
    parts["facts"] = gr.HTML(elem_id="facts")
    parts["tree"] = gr.HTML(elem_id="tree", js_on_load=TREE_JS, label="Turns")
    with gr.Row(elem_classes="buttons"):
        parts["save_picture"] = gr.DownloadButton(
            "Save picture", elem_id="save_picture", interactive=False, size="sm"
        )
        parts["save_session"] = gr.DownloadButton(
            "Save session", elem_id="save_session", interactive=False, size="sm"
        )
    return parts


def _more(workshop: Any, models: list[tuple[str, str]], tis_models: list[str]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    with gr.Accordion("Seed, locked words, models, session", open=False, elem_id="more"):
        with gr.Row():
            parts["seed"] = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed")
            parts["seed_locked"] = gr.Checkbox(
                True, label="Lock the seed: only the words change the picture", elem_id="locked"
            )
            parts["lock"] = gr.Textbox(
                label="Words that no turn may lose, with commas between", elem_id="lock"
            )
        with gr.Row():
            parts["model"] = gr.Dropdown(models, value=models[0][1], label="Written by")
            parts["tis_model"] = gr.Dropdown(tis_models, value=tis_models[0], label="Drawn by")
        with gr.Row():
            parts["new"] = gr.Button("New session", elem_id="new", size="sm")
            parts["resume"] = gr.UploadButton(
                "Open a session file", file_types=[".json"], elem_id="resume", size="sm"
            )
            parts["share"] = gr.Button("Make a link", elem_id="share", size="sm")
            parts["delete"] = gr.Button("Delete this session", elem_id="delete", size="sm")
        parts["link"] = gr.Textbox(
            label="Link to a copy of this session", interactive=False, buttons=["copy"],
            elem_id="link",
        )  # fmt: skip
        parts["shared_id"] = gr.Textbox(visible=False)
        chat = workshop.settings.chat
        parts["consent"] = gr.Checkbox(
            False, elem_id="consent",
            label=f"Give my next turns to the dataset, under {chat.licence}. Off: they stay in "
                  "this session's file and nowhere else.",
        )  # fmt: skip
        gr.Markdown(_terms(chat), elem_classes="terms")
    return parts


def _terms(chat: Any) -> str:
    words = "reads prompts" if chat.safety else "is off for prompts"
    seen = "looks at pictures too" if chat.picture_safety.model else (
        "does not look at pictures (no classifier is configured)"
    )  # fmt: skip
    return (
        f"The safety filter {words} and {seen}. Sessions are saved on the machine that serves this "
        "page, so that a reload finds them, until they are deleted."
    )


def _wire(parts: dict[str, Any], actions: Actions) -> None:
    outputs = [parts[name] for name in OUTPUTS]
    name, message = parts["session_id"], parts["message"]
    controls = [parts[key] for key in ("model", "tis_model", "seed", "seed_locked", "lock",
                                       "consent")]  # fmt: skip

    def turn(trigger: Callable, act: Callable, *inputs: Any, mode: Any = "once") -> Any:
        return trigger(
            streamed(act), [name, *inputs, *controls], outputs, trigger_mode=mode,
            concurrency_id="turn", concurrency_limit=None, api_visibility="private",
            show_progress="hidden",
        )  # fmt: skip

    def sending(trigger: Callable) -> None:
        sent, unsent = parts["sent"], parts["unsent"]
        taken = trigger(None, message, [message, sent], js=TAKE_JS, api_visibility="private")
        # Not "once": words sent during a turn are refused and given back, not dropped.
        made = turn(taken.then, actions.send, sent, mode="multiple")
        made.then(None, [message, unsent], message, js=BACK_JS, api_visibility="private")

    def move(trigger: Callable, act: Callable, *inputs: Any) -> None:
        trigger(
            act, list(inputs), outputs, api_visibility="private", show_progress="hidden",
            queue=True,
        )  # fmt: skip

    def jump(session_id: str, event: gr.EventData) -> list[Any]:
        return actions.jump(session_id, event.turn)  # pyright: ignore[reportAttributeAccessIssue]

    def upload(session_id: str, file: str, request: gr.Request) -> list[Any]:
        return actions.upload(session_id, file, _address(request))

    sending(parts["send"].click)
    sending(message.submit)
    turn(parts["better"].click, actions.better)
    turn(parts["vary"].click, actions.vary, parts["number"])
    turn(parts["reword"].click, actions.reword, parts["number"])
    parts["stop"].click(
        actions.stop, name, parts["status"], queue=False, api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
    move(parts["undo"].click, actions.undo, name)
    move(parts["redo"].click, actions.redo, name)
    move(parts["tree"].select, jump, name)
    move(parts["new"].click, actions.new)
    move(parts["delete"].click, actions.delete, name)
    move(parts["upload"].upload, upload, name, parts["upload"])
    move(parts["resume"].upload, actions.resume, name, parts["resume"])
    for sample in parts["samples"]:
        sample.click(
            lambda text=sample.value: text, None, message, api_visibility="private",
            show_progress="hidden", queue=False,
        )  # fmt: skip
    parts["share"].click(
        actions.share, name, parts["shared_id"], api_visibility="private", show_progress="hidden"
    ).then(None, parts["shared_id"], parts["link"], js=SHARE_JS, api_visibility="private")


def streamed(act: Callable) -> Callable:
    """`act` with the address that it is asked from."""

    # Gradio fills this in by its place, and only before the first `*`.
    def run(request: gr.Request, *inputs: Any):
        yield from act(*inputs, address=_address(request))

    return run


def _address(request: gr.Request) -> str:
    return request.client.host if request.client else ""
