"""Training of DiffChat: supervised fine-tuning, then PPO on the pictures of what it writes.

`policy` loads a student and lets it answer, `template` makes tokens of a conversation; `data` and
`sft` are the supervised half.  Of reinforcement learning read `rl` first; it is the loop.  What it
calls, each testable apart: `rollout` (answers and their states), `adm` (what an off-policy row may
say next), `advantages`, `losses`, `value`, `reward`.  Nothing here touches storage.
"""
