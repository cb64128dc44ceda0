"""The offline teacher: a local OpenAI-compatible server with a rule-based prompt editor behind it.

    with start_offline_teacher() as teacher:
        client = openai.OpenAI(base_url=teacher.base_url, api_key="none")

It stands in for a paid endpoint in the embedded profile and in tests: the code path is the same.
Leaves out understanding: it edits by word lists and patterns.
"""

from models.teacher.offline.process import OfflineTeacher, start_offline_teacher

__all__ = ["OfflineTeacher", "serve", "start_offline_teacher"]


def serve(host: str = "127.0.0.1", port: int = 8011) -> None:
    """Serve until interrupted (see `server.serve`); imported late, for a fast command line."""
    from models.teacher.offline import server

    server.serve(host, port)
