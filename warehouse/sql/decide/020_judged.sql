-- Every live triple with its gains and the first rule that refuses it, null if none does.
CREATE OR REPLACE TEMP TABLE judged AS
WITH gains AS (
    SELECT
        t.triple_id,
        t.edit_kind,
        t.violations,
        t.target_tokens,
        md5_number(concat_ws(chr(31), t.raw_prompt, t.instruction, t.target_prompt)) AS wording,
        round(looks_target.score - looks_raw.score, 4) AS aesthetic_gain,
        round(liked_target.score - liked_raw.score, 4) AS preference_gain
    FROM live_triples AS t
    LEFT JOIN looks AS looks_raw ON looks_raw.prompt = md5_number(t.raw_prompt)
    LEFT JOIN looks AS looks_target ON looks_target.prompt = md5_number(t.target_prompt)
    LEFT JOIN liked AS liked_raw
        ON liked_raw.prompt = md5_number(t.raw_prompt)
        AND liked_raw.intent = md5_number(CASE WHEN $reads_intent THEN t.intent ELSE '' END)
    LEFT JOIN liked AS liked_target
        ON liked_target.prompt = md5_number(t.target_prompt)
        AND liked_target.intent = md5_number(CASE WHEN $reads_intent THEN t.intent ELSE '' END)
    WHERE len($recipes::VARCHAR[]) = 0 OR list_contains($recipes::VARCHAR[], t.recipe_id)
),

spread AS (
    SELECT coalesce(stddev_samp(aesthetic_gain), 0) AS sigma FROM gains
)

SELECT
    triple_id,
    aesthetic_gain,
    preference_gain,
    CASE
        WHEN len(coalesce(violations, [])) > 0
            THEN 'violation:' || trim(split_part(violations[1], ':', 1))
        WHEN target_tokens > $max_target_tokens THEN 'target_too_long'
        WHEN row_number() OVER (
            PARTITION BY wording, len(coalesce(violations, [])) > 0 ORDER BY triple_id
        ) > 1 THEN 'duplicate'
        WHEN NOT $rendered THEN NULL
        WHEN aesthetic_gain IS NULL OR preference_gain IS NULL THEN 'not_scored'
        WHEN list_contains($looks_kinds, edit_kind) THEN
            CASE WHEN NOT aesthetic_gain > $looks_min_aesthetic_gain THEN 'aesthetics' END
        WHEN NOT preference_gain > $content_min_preference_gain THEN 'preference'
        WHEN aesthetic_gain < $content_min_aesthetic_sigma * sigma THEN 'aesthetics'
    END AS reason
FROM gains CROSS JOIN spread;
