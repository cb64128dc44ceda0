-- Model versions and what their trainings logged; see schemas/records.py.
CREATE TABLE model_versions (
    model_id VARCHAR,
    method VARCHAR,
    base VARCHAR,
    base_hash VARCHAR,
    parent_model_id VARCHAR,
    dataset_version BIGINT,
    snapshot_id BIGINT,
    settings VARCHAR,
    settings_hash VARCHAR,
    seed BIGINT,
    status VARCHAR,
    folder VARCHAR,
    weights_hash VARCHAR,
    metrics VARCHAR,
    code_revision VARCHAR,
    trained_at TIMESTAMPTZ
);
CREATE TABLE training_log (
    model_id VARCHAR,
    step BIGINT,
    term VARCHAR,
    "value" DOUBLE
);
CREATE TABLE training_samples (
    model_id VARCHAR,
    step BIGINT,
    sample INTEGER,
    triple_id VARCHAR,
    row_kind VARCHAR,
    raw_prompt VARCHAR,
    instruction VARCHAR,
    prompt VARCHAR,
    integrity DOUBLE,
    reward DOUBLE,
    raw_images VARCHAR[],
    images VARCHAR[]
);
