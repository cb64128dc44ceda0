-- Turns that people gave to the next dataset; see schemas/records.py.
CREATE TABLE chat_turns (
    turn_id VARCHAR,
    session_id VARCHAR,
    number INTEGER,
    parent INTEGER,
    raw_prompt VARCHAR,
    instruction VARCHAR,
    target_prompt VARCHAR,
    units STRUCT("role" VARCHAR, "text" VARCHAR)[],
    model VARCHAR,
    tis_id VARCHAR,
    seed BIGINT,
    render_id VARCHAR,
    scores VARCHAR,
    licence VARCHAR,
    consented_at TIMESTAMPTZ
);
