"""Training of DiffChat: supervised fine-tuning, then PPO on the pictures of what it writes.

Read `rl` first; it is the loop.  What it calls, each testable apart: `rollout` (answers and their
states), `adm` (what an off-policy row may say next), `advantages`, `losses`, `value`, `reward`.
"""
