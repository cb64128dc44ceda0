"""Options that commands share, and the settings that come of them."""

from typing import Annotated, Any

import typer

from schemas.errors import SettingsError

Profile = Annotated[
    str, typer.Option("--profile", "-p", envvar="DIFFCHAT_PROFILE", help="Name or .toml file.")
]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a setting; repeatable."),
]
DatasetVersion = Annotated[int | None, typer.Option(help="Of the dataset; default: the latest.")]
Seed = Annotated[int | None, typer.Option(help="Another seed is another model.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for scripts.")]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="auto, champion, latest, base, a model id, a folder; with "
                 "--endpoint the name it is served under."),
]  # fmt: skip
Endpoint = Annotated[
    str | None, typer.Option(help="URL of an OpenAI-compatible endpoint, such as …:8000/v1.")
]


def changes_of(pairs: list[str] | None, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Dotted settings of `--set KEY=VALUE`, and over them what options of their own say.

    An option that was not given (None in `more`) changes nothing.  Raises SettingsError where
    there is no "=".
    """
    from schemas.settings import parse_value

    changes = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(
                f"--set {pair!r}: write it as KEY=VALUE, such as teacher.model=gpt-5."
            )
        changes[key] = parse_value(value)
    return changes | {key: value for key, value in (more or {}).items() if value is not None}


def settings_of(profile: str, changes: dict[str, Any] | None = None) -> Any:
    """The profile under `changes`; raises SettingsError."""
    from schemas.settings import load_settings

    return load_settings(profile, changes)


def chat_settings(
    profile: str,
    override: list[str] | None,
    model: str | None,
    endpoint: str | None,
    more: dict[str, Any] | None = None,
) -> Any:
    """The same for a conversation: `model` names what `endpoint` serves, where there is one."""
    changes = changes_of(override, {"chat.endpoint.base_url": endpoint} | (more or {}))
    settings = settings_of(profile, changes)
    if model is None:
        return settings
    served = settings.chat.endpoint.base_url is not None
    name = "chat.endpoint.model" if served else "chat.model"
    return settings_of(profile, changes | {name: model})
