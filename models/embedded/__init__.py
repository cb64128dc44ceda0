"""The embedded models: how they are trained, and the weights that ship.

Ordinary checkpoints in the formats of the real ones, trained on the drawn world on two cores.
`python -m models.embedded <step>` retrains one; `docs/embedded.md` says how long each takes and
what came out.
"""
