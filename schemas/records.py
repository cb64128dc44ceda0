"""One record per table: the columns of the warehouse, as Arrow schemas.

Stages hand each other Arrow tables with exactly these columns; `warehouse` creates its tables from
the numbered SQL migrations and a test holds the two in agreement.  Ids are the hex strings of
`schemas.identity`; times are UTC microseconds; money is US dollars.
"""

import pyarrow as pa

ID = pa.string()
TEXT = pa.string()
TIME = pa.timestamp("us", tz="UTC")
UNITS = pa.list_(pa.struct([("role", TEXT), ("text", TEXT)]))


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


SOURCES = _schema(
    source_id=ID,  # content id of location, kind and column mapping
    name=TEXT,
    kind=TEXT,  # text, csv, tsv, json, jsonl, parquet, hub
    location=TEXT,
    licence=TEXT,
    fingerprint=TEXT,  # content hash of the file or revision of the hub dataset
    lines=pa.int64(),
    collected_at=TIME,
)
RAW_PROMPTS = _schema(
    raw_prompt_id=ID,
    text=TEXT,
    language=TEXT,  # ISO 639-1, or "und"
    tokens=pa.int32(),  # in the text encoder of the profile's text-to-image model
    minhash=pa.list_(pa.int64()),  # band hashes, for near duplicates
    split=TEXT,
    collected_at=TIME,
)
OCCURRENCES = _schema(
    occurrence_id=ID,
    source_id=ID,
    line=pa.int64(),
    raw_prompt_id=ID,
    licence=TEXT,
    collected_at=TIME,
)
REJECTIONS = _schema(
    rejection_id=ID,  # occurrence_id of the line
    source_id=ID,
    line=pa.int64(),
    text=TEXT,  # first 2,000 characters, control characters escaped
    reason=TEXT,  # a word: empty, too_long, language, unsafe, near_duplicate, not_text, …
    detail=TEXT,
    collected_at=TIME,
)
RECIPES = _schema(
    recipe_id=ID,
    kind=TEXT,  # teacher, beautify, import
    settings=TEXT,  # canonical JSON: model, sampling, system prompt, k, kinds
    created_at=TIME,
)
TEACHER_CALLS = _schema(
    attempt_id=ID,  # content id of call_id and attempt
    call_id=ID,
    recipe_id=ID,
    raw_prompt_id=ID,  # of the root
    subject=TEXT,  # the prompt sent: the raw prompt, or an earlier target for follow-ups
    sample_index=pa.int32(),
    attempt=pa.int32(),  # 1, 2, …, over all builds
    build_id=ID,
    status=TEXT,  # ok, transient, refusal, schema; ok and exhausted ones count as "have"
    error=TEXT,
    request=TEXT,  # canonical JSON body; no URL, no key
    answer=TEXT,
    model=TEXT,
    prompt_tokens=pa.int64(),
    completion_tokens=pa.int64(),
    cost_usd=pa.float64(),
    latency_ms=pa.float64(),
    called_at=TIME,
)
TRIPLES = _schema(
    triple_id=ID,
    call_id=ID,  # or the content id of the imported row
    recipe_id=ID,
    raw_prompt_id=ID,  # of the root: decides the split
    parent_triple_id=ID,  # of the turn before, null for a first turn
    turn=pa.int32(),  # 1 for a first turn
    raw_prompt=TEXT,  # what the instruction applies to (for follow-ups, the earlier target)
    instruction=TEXT,
    edit_kind=TEXT,
    target_prompt=TEXT,
    intent=TEXT,  # a style-free sentence for the wanted picture
    units=UNITS,
    units_source=TEXT,  # teacher, rule
    violations=pa.list_(TEXT),  # of the rule checks; a triple with any is never rendered
    target_tokens=pa.int32(),  # of target_prompt in the text encoder; null: not counted
    minhash=pa.list_(pa.int64()),  # band hashes of instruction and target
    split=TEXT,
    created_at=TIME,
)
TIS_MODELS = _schema(
    tis_id=ID, name=TEXT, weights_hash=TEXT, settings=TEXT, token_budget=pa.int32(), created_at=TIME
)
RENDERS = _schema(
    render_id=ID,
    prompt=TEXT,
    tis_id=ID,
    seed=pa.int64(),
    status=TEXT,  # ok, failed
    error=TEXT,
    image_sha256=TEXT,  # names the file in the image store
    width=pa.int32(),
    height=pa.int32(),
    attempt=pa.int32(),
    rendered_at=TIME,
)
SCORERS = _schema(
    scorer_id=ID,
    name=TEXT,
    weights_hash=TEXT,
    revision=pa.int32(),
    measures=TEXT,  # aesthetics, preference, alignment, held_out
    reads_intent=pa.bool_(),
    created_at=TIME,
)
SCORES = _schema(
    score_id=ID,
    render_id=ID,
    scorer_id=ID,
    intent=TEXT,  # null where the scorer does not read it
    value=pa.float64(),  # rounded to 4 decimals
    status=TEXT,  # ok, failed (NaN, unreadable image)
    error=TEXT,
    attempt=pa.int32(),
    scored_at=TIME,
)
DECISION_SETS = _schema(
    decision_set_id=ID,
    rule_hash=TEXT,
    rules=TEXT,  # canonical JSON
    snapshot_id=pa.int64(),
    created_at=TIME,
)
DECISIONS = _schema(
    decision_set_id=ID,
    triple_id=ID,
    accepted=pa.bool_(),
    reason=TEXT,  # "accepted", or the first rule that refused
    aesthetic_gain=pa.float64(),  # mean over seeds, target minus raw; null without renders
    preference_gain=pa.float64(),
)
DATASET_VERSIONS = _schema(
    version=pa.int64(),  # 1, 2, …
    decision_set_id=ID,
    snapshot_id=pa.int64(),  # of the lake just after the version's rows were committed
    rows=pa.int64(),
    status=TEXT,  # published, retired
    profile=TEXT,
    settings_hash=TEXT,
    funnel=TEXT,  # canonical JSON
    published_at=TIME,
)
PUBLISHED_ROWS = _schema(
    version=pa.int64(),
    triple_id=ID,
    raw_prompt_id=ID,
    parent_triple_id=ID,
    turn=pa.int32(),
    split=TEXT,
    raw_prompt=TEXT,
    instruction=TEXT,
    edit_kind=TEXT,
    target_prompt=TEXT,
    intent=TEXT,
    units=UNITS,
    units_source=TEXT,
    aesthetic_gain=pa.float64(),
    preference_gain=pa.float64(),
    source=TEXT,  # name of the first source the raw prompt was seen in
    licence=TEXT,
)
BUILDS = _schema(
    build_id=ID,
    profile=TEXT,
    settings=TEXT,
    settings_hash=TEXT,
    code_revision=TEXT,
    started_at=TIME,
)
REMOVALS = _schema(
    removed_id=ID,  # a raw_prompt_id or a triple_id
    reason=TEXT,
    removed_at=TIME,
)

MODEL_VERSIONS = _schema(
    model_id=ID,  # content id of what determines the weights
    method=TEXT,  # sft, ppo, rloo, grpo
    base=TEXT,  # folder or hub id that training began from
    base_hash=TEXT,  # of its files
    parent_model_id=ID,  # null where the base is no model of ours
    dataset_version=pa.int64(),
    snapshot_id=pa.int64(),
    settings=TEXT,  # canonical JSON
    settings_hash=TEXT,
    seed=pa.int64(),
    status=TEXT,  # ok, diverged (the last good checkpoint is kept)
    folder=TEXT,  # below $DIFFCHAT_HOME
    weights_hash=TEXT,
    metrics=TEXT,  # canonical JSON
    code_revision=TEXT,
    trained_at=TIME,
)
TRAINING_LOG = _schema(
    model_id=ID,
    step=pa.int64(),
    term=TEXT,  # loss, reward, kl, …
    value=pa.float64(),
)
TRAINING_SAMPLES = _schema(
    model_id=ID,
    step=pa.int64(),
    sample=pa.int32(),
    triple_id=ID,
    row_kind=TEXT,  # on_policy, positive, hard_negative
    raw_prompt=TEXT,
    instruction=TEXT,
    prompt=TEXT,  # what the policy wrote
    integrity=pa.float64(),
    reward=pa.float64(),
    raw_images=pa.list_(TEXT),  # SHA-256 of the renders, by seed; null: the reward was not rendered
    images=pa.list_(TEXT),
)

TURNS = pa.list_(pa.struct([("instruction", TEXT), ("prompt", TEXT)]))
EVALUATION_CASES = _schema(
    case_set_id=ID,  # content id of its cases
    case_id=ID,
    position=pa.int64(),  # order in the report, 0, 1, …
    form=TEXT,  # single: with pictures; conversation: the method goes on from its own answers
    source=TEXT,  # "InstructPE version 3, test", or the name of a file
    dataset_version=pa.int64(),  # null for a file
    triple_id=ID,  # null for a file
    cluster_id=ID,  # cases of one root prompt are resampled together
    parent_case_id=ID,  # the turn before in a conversation; null otherwise
    turn=pa.int32(),
    first_prompt=TEXT,  # that the conversation began with
    history=TURNS,  # turns that were answered before, by the data set
    raw_prompt=TEXT,  # what the instruction applies to
    instruction=TEXT,
    edit_kind=TEXT,
    target_prompt=TEXT,  # null: none was given
    intent=TEXT,
    intent_source=TEXT,  # teacher, file, rule
    units=UNITS,
    units_source=TEXT,  # teacher, file, rule
)
EVALUATION_OUTPUTS = _schema(
    output_id=ID,  # content id of method and case
    method_id=ID,
    case_id=ID,
    attempt=pa.int32(),
    status=TEXT,  # ok, failed
    prompt=TEXT,  # of direct editing: canonical JSON of raw prompt and instruction
    error=TEXT,
    finished=pa.bool_(),  # ended by itself, not by the limit on tokens
    tokens=pa.int32(),  # written by the method; null where it wrote none
    latency_ms=pa.float64(),  # of the case, or of its share of a batch
    answered_at=TIME,
)
EVALUATIONS = _schema(
    evaluation_id=ID,  # content id of methods, cases, TIS models, scorers, seeds and statistics
    case_set_id=ID,
    dataset_version=pa.int64(),
    methods=TEXT,  # canonical JSON: the columns of the report
    models=pa.list_(TEXT),  # model ids that were judged
    asked_models=pa.list_(TEXT),  # as they were named, beside the settings' methods
    asked_cases=TEXT,  # path of a file of cases; null: the test split
    tis_ids=pa.list_(TEXT),  # the first is the main one, the others are transfer
    scorer_ids=pa.list_(TEXT),
    seeds=pa.list_(pa.int64()),
    settings=TEXT,  # canonical JSON
    settings_hash=TEXT,
    summary=TEXT,  # canonical JSON: the numbers of the report
    report=TEXT,  # folder below $DIFFCHAT_HOME
    snapshot_id=pa.int64(),
    code_revision=TEXT,
    seconds=pa.float64(),
    evaluated_at=TIME,
)
VOTES = _schema(
    vote_id=ID,  # content id of voter and pair: a second vote on a pair changes nothing
    voter=TEXT,
    pair_id=ID,
    evaluation_id=ID,
    case_id=ID,
    first_method=ID,  # in the order of their ids, whatever side they were shown on
    second_method=ID,
    seed=pa.int64(),
    left_method=ID,  # shown on the left
    choice=TEXT,  # first, second, tie, skip
    voted_at=TIME,
)
ALIASES = _schema(
    move_id=ID,
    alias=TEXT,  # champion
    model_id=ID,
    evaluation_id=ID,  # null: moved by hand
    reason=TEXT,
    moved_at=TIME,
)
CHAT_TURNS = _schema(
    turn_id=ID,  # content id of session and number of the turn
    session_id=ID,  # hash of the session's id, which is its key and is not stored
    number=pa.int32(),
    parent=pa.int32(),
    raw_prompt=TEXT,  # what the instruction was given on
    instruction=TEXT,
    target_prompt=TEXT,
    units=UNITS,
    model=TEXT,
    tis_id=ID,
    seed=pa.int64(),
    render_id=ID,
    scores=TEXT,  # canonical JSON, by what they measure
    licence=TEXT,  # under which the person gave it
    consented_at=TIME,
)

# Table name → (schema, the column that is unique). DuckLake refuses PRIMARY KEY; commits anti-join.
TABLES: dict[str, tuple[pa.Schema, tuple[str, ...]]] = {
    "sources": (SOURCES, ("source_id", "fingerprint")),
    "raw_prompts": (RAW_PROMPTS, ("raw_prompt_id",)),
    "occurrences": (OCCURRENCES, ("occurrence_id",)),
    "rejections": (REJECTIONS, ("rejection_id",)),
    "recipes": (RECIPES, ("recipe_id",)),
    "teacher_calls": (TEACHER_CALLS, ("attempt_id",)),
    "triples": (TRIPLES, ("triple_id",)),
    "tis_models": (TIS_MODELS, ("tis_id",)),
    "renders": (RENDERS, ("render_id", "attempt")),
    "scorers": (SCORERS, ("scorer_id",)),
    "scores": (SCORES, ("score_id", "attempt")),
    "decision_sets": (DECISION_SETS, ("decision_set_id",)),
    "decisions": (DECISIONS, ("decision_set_id", "triple_id")),
    "dataset_versions": (DATASET_VERSIONS, ("version",)),
    "published_rows": (PUBLISHED_ROWS, ("version", "triple_id")),
    "builds": (BUILDS, ("build_id",)),
    "removals": (REMOVALS, ("removed_id",)),
    "model_versions": (MODEL_VERSIONS, ("model_id",)),
    "training_log": (TRAINING_LOG, ("model_id", "step", "term")),
    "chat_turns": (CHAT_TURNS, ("turn_id",)),
    "training_samples": (TRAINING_SAMPLES, ("model_id", "step", "sample")),
    "evaluation_cases": (EVALUATION_CASES, ("case_set_id", "case_id")),
    "evaluation_outputs": (EVALUATION_OUTPUTS, ("output_id", "attempt")),
    "evaluations": (EVALUATIONS, ("evaluation_id",)),
    "votes": (VOTES, ("vote_id",)),
    "aliases": (ALIASES, ("move_id",)),
}
