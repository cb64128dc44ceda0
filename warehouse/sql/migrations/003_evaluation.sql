-- Evaluation: cases, answers, reports, votes, and where `champion` points; see schemas/records.py.
CREATE TABLE evaluation_cases (
    case_set_id VARCHAR,
    case_id VARCHAR,
    "position" BIGINT,
    form VARCHAR,
    source VARCHAR,
    dataset_version BIGINT,
    triple_id VARCHAR,
    cluster_id VARCHAR,
    parent_case_id VARCHAR,
    turn INTEGER,
    first_prompt VARCHAR,
    history STRUCT("instruction" VARCHAR, "prompt" VARCHAR)[],
    raw_prompt VARCHAR,
    instruction VARCHAR,
    edit_kind VARCHAR,
    target_prompt VARCHAR,
    intent VARCHAR,
    intent_source VARCHAR,
    units STRUCT("role" VARCHAR, "text" VARCHAR)[],
    units_source VARCHAR
);
CREATE TABLE evaluation_outputs (
    output_id VARCHAR,
    method_id VARCHAR,
    case_id VARCHAR,
    attempt INTEGER,
    status VARCHAR,
    prompt VARCHAR,
    error VARCHAR,
    finished BOOLEAN,
    tokens INTEGER,
    latency_ms DOUBLE,
    answered_at TIMESTAMPTZ
);
CREATE TABLE evaluations (
    evaluation_id VARCHAR,
    case_set_id VARCHAR,
    dataset_version BIGINT,
    methods VARCHAR,
    models VARCHAR[],
    asked_models VARCHAR[],
    asked_cases VARCHAR,
    tis_ids VARCHAR[],
    scorer_ids VARCHAR[],
    seeds BIGINT[],
    settings VARCHAR,
    settings_hash VARCHAR,
    summary VARCHAR,
    report VARCHAR,
    snapshot_id BIGINT,
    code_revision VARCHAR,
    seconds DOUBLE,
    evaluated_at TIMESTAMPTZ
);
CREATE TABLE votes (
    vote_id VARCHAR,
    voter VARCHAR,
    pair_id VARCHAR,
    evaluation_id VARCHAR,
    case_id VARCHAR,
    first_method VARCHAR,
    second_method VARCHAR,
    seed BIGINT,
    left_method VARCHAR,
    choice VARCHAR,
    voted_at TIMESTAMPTZ
);
CREATE TABLE aliases (
    move_id VARCHAR,
    alias VARCHAR,
    model_id VARCHAR,
    evaluation_id VARCHAR,
    reason VARCHAR,
    moved_at TIMESTAMPTZ
);
