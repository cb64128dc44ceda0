"""TensorBoard files of a training; `tensorboard --logdir $DIFFCHAT_HOME/models` shows them."""

from pathlib import Path


class Events:
    """Each term of a step as a scalar; a run that goes on overwrites the steps it repeats."""

    def __init__(self, folder: Path, done: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=done + 1)

    def __call__(self, step: int, terms: dict[str, float]) -> None:
        for name, number in terms.items():
            self._writer.add_scalar(name, number, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
