"""What the trainings' tests share."""

import pytest


@pytest.fixture
def full_at_the_second_checkpoint(monkeypatch):
    """A disk that has no room for the second checkpoint of `transformers`' trainers, once."""
    from transformers import Trainer

    save, calls = Trainer._save_optimizer_and_scheduler, []

    def full(self, folder):
        calls.append(folder)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        save(self, folder)

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", full)
