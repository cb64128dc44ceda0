-- The tables of schemas/records.py; a test holds the two in agreement.
CREATE TABLE sources (
    source_id VARCHAR,
    name VARCHAR,
    kind VARCHAR,
    location VARCHAR,
    licence VARCHAR,
    fingerprint VARCHAR,
    lines BIGINT,
    collected_at TIMESTAMPTZ
);
CREATE TABLE raw_prompts (
    raw_prompt_id VARCHAR,
    "text" VARCHAR,
    language VARCHAR,
    tokens INTEGER,
    minhash BIGINT[],
    split VARCHAR,
    collected_at TIMESTAMPTZ
);
CREATE TABLE occurrences (
    occurrence_id VARCHAR,
    source_id VARCHAR,
    line BIGINT,
    raw_prompt_id VARCHAR,
    licence VARCHAR,
    collected_at TIMESTAMPTZ
);
CREATE TABLE rejections (
    rejection_id VARCHAR,
    source_id VARCHAR,
    line BIGINT,
    "text" VARCHAR,
    reason VARCHAR,
    detail VARCHAR,
    collected_at TIMESTAMPTZ
);
CREATE TABLE recipes (
    recipe_id VARCHAR,
    kind VARCHAR,
    settings VARCHAR,
    created_at TIMESTAMPTZ
);
CREATE TABLE teacher_calls (
    attempt_id VARCHAR,
    call_id VARCHAR,
    recipe_id VARCHAR,
    raw_prompt_id VARCHAR,
    subject VARCHAR,
    sample_index INTEGER,
    attempt INTEGER,
    build_id VARCHAR,
    status VARCHAR,
    error VARCHAR,
    request VARCHAR,
    answer VARCHAR,
    model VARCHAR,
    prompt_tokens BIGINT,
    completion_tokens BIGINT,
    cost_usd DOUBLE,
    latency_ms DOUBLE,
    called_at TIMESTAMPTZ
);
CREATE TABLE triples (
    triple_id VARCHAR,
    call_id VARCHAR,
    recipe_id VARCHAR,
    raw_prompt_id VARCHAR,
    parent_triple_id VARCHAR,
    turn INTEGER,
    raw_prompt VARCHAR,
    instruction VARCHAR,
    edit_kind VARCHAR,
    target_prompt VARCHAR,
    intent VARCHAR,
    units STRUCT("role" VARCHAR, "text" VARCHAR)[],
    units_source VARCHAR,
    violations VARCHAR[],
    target_tokens INTEGER,
    minhash BIGINT[],
    split VARCHAR,
    created_at TIMESTAMPTZ
);
CREATE TABLE tis_models (
    tis_id VARCHAR,
    name VARCHAR,
    weights_hash VARCHAR,
    settings VARCHAR,
    token_budget INTEGER,
    created_at TIMESTAMPTZ
);
CREATE TABLE renders (
    render_id VARCHAR,
    prompt VARCHAR,
    tis_id VARCHAR,
    seed BIGINT,
    status VARCHAR,
    error VARCHAR,
    image_sha256 VARCHAR,
    width INTEGER,
    height INTEGER,
    attempt INTEGER,
    rendered_at TIMESTAMPTZ
);
CREATE TABLE scorers (
    scorer_id VARCHAR,
    name VARCHAR,
    weights_hash VARCHAR,
    revision INTEGER,
    measures VARCHAR,
    reads_intent BOOLEAN,
    created_at TIMESTAMPTZ
);
CREATE TABLE scores (
    score_id VARCHAR,
    render_id VARCHAR,
    scorer_id VARCHAR,
    intent VARCHAR,
    "value" DOUBLE,
    status VARCHAR,
    error VARCHAR,
    attempt INTEGER,
    scored_at TIMESTAMPTZ
);
CREATE TABLE decision_sets (
    decision_set_id VARCHAR,
    rule_hash VARCHAR,
    rules VARCHAR,
    snapshot_id BIGINT,
    created_at TIMESTAMPTZ
);
CREATE TABLE decisions (
    decision_set_id VARCHAR,
    triple_id VARCHAR,
    accepted BOOLEAN,
    reason VARCHAR,
    aesthetic_gain DOUBLE,
    preference_gain DOUBLE
);
CREATE TABLE dataset_versions (
    version BIGINT,
    decision_set_id VARCHAR,
    snapshot_id BIGINT,
    "rows" BIGINT,
    status VARCHAR,
    profile VARCHAR,
    settings_hash VARCHAR,
    funnel VARCHAR,
    published_at TIMESTAMPTZ
);
CREATE TABLE published_rows (
    version BIGINT,
    triple_id VARCHAR,
    raw_prompt_id VARCHAR,
    parent_triple_id VARCHAR,
    turn INTEGER,
    split VARCHAR,
    raw_prompt VARCHAR,
    instruction VARCHAR,
    edit_kind VARCHAR,
    target_prompt VARCHAR,
    intent VARCHAR,
    units STRUCT("role" VARCHAR, "text" VARCHAR)[],
    units_source VARCHAR,
    aesthetic_gain DOUBLE,
    preference_gain DOUBLE,
    source VARCHAR,
    licence VARCHAR
);
CREATE TABLE builds (
    build_id VARCHAR,
    profile VARCHAR,
    settings VARCHAR,
    settings_hash VARCHAR,
    code_revision VARCHAR,
    started_at TIMESTAMPTZ
);
CREATE TABLE removals (
    removed_id VARCHAR,
    reason VARCHAR,
    removed_at TIMESTAMPTZ
);
-- A version is one partition: its files are never mixed with another's.
ALTER TABLE published_rows SET PARTITIONED BY (version);
