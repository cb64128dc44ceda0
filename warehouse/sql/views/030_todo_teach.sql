-- What became of each teacher call: `over` when it is answered or given up.
-- Transient errors count within a build, refusals and wrong schemas over all builds, or, when
-- failures are retried, within this build only.
CREATE OR REPLACE MACRO tried_calls(in_recipe, in_build, in_retry, in_per_build, in_terminal)
AS TABLE
SELECT
    raw_prompt_id,
    subject,
    sample_index,
    attempts,
    final AS final_failures,
    answered OR transient >= in_per_build OR final >= in_terminal AS over
FROM (
    SELECT
        raw_prompt_id,
        subject,
        sample_index,
        max(attempt) AS attempts,
        bool_or(status = 'ok') AS answered,
        count(*) FILTER (status = 'transient' AND build_id = in_build) AS transient,
        count(*) FILTER (
            status IN ('refusal', 'schema') AND (NOT in_retry OR build_id = in_build)
        ) AS final
    FROM teacher_calls
    WHERE recipe_id = in_recipe
    GROUP BY raw_prompt_id, subject, sample_index
);

-- wanted: every raw prompt × samples under a recipe; have: calls that are over.
CREATE OR REPLACE MACRO todo_teach(
    in_recipe, in_samples, in_sources, in_lines, in_build, in_retry, in_per_build, in_terminal
) AS TABLE
SELECT
    p.raw_prompt_id,
    p.text AS subject,
    s.sample_index::INTEGER AS sample_index,
    (coalesce(t.attempts, 0) + 1)::INTEGER AS attempt,
    coalesce(t.final_failures, 0)::INTEGER AS final_failures,
    p.split
FROM live_raw_prompts AS p
CROSS JOIN (SELECT unnest(range(in_samples)) AS sample_index) AS s
LEFT JOIN tried_calls(in_recipe, in_build, in_retry, in_per_build, in_terminal) AS t
    ON t.raw_prompt_id = p.raw_prompt_id
    AND t.sample_index = s.sample_index
    AND t.subject = p.text
WHERE NOT coalesce(t.over, false)
    AND p.raw_prompt_id IN (SELECT raw_prompt_id FROM prompts_in_scope(in_sources, in_lines));

-- wanted: a second turn for a share of the raw prompts, on the first valid triple of each;
-- have: raw prompts with a second turn under this recipe. The share is taken by content hash, so
-- it does not move as the warehouse grows.
CREATE OR REPLACE MACRO todo_follow_up(
    in_recipe, in_share, in_sources, in_lines, in_build, in_retry, in_per_build, in_terminal
) AS TABLE
WITH parents AS (
    SELECT
        raw_prompt_id,
        min(triple_id) AS parent_triple_id,
        arg_min(target_prompt, triple_id) AS subject,
        any_value(split) AS split
    FROM valid_triples([in_recipe], in_sources, in_lines)
    WHERE turn = 1 AND ('0x' || left(raw_prompt_id, 8))::BIGINT < in_share * 4294967296
    GROUP BY raw_prompt_id
),

tried AS (
    SELECT
        t.raw_prompt_id,
        bool_or(t.over) AS over,
        max(t.attempts) AS attempts,
        max(t.final_failures) AS final_failures
    FROM tried_calls(in_recipe, in_build, in_retry, in_per_build, in_terminal) AS t
    JOIN raw_prompts AS p USING (raw_prompt_id)
    WHERE t.subject <> p.text
    GROUP BY t.raw_prompt_id
)

SELECT
    f.raw_prompt_id,
    f.subject,
    0::INTEGER AS sample_index,
    (coalesce(t.attempts, 0) + 1)::INTEGER AS attempt,
    coalesce(t.final_failures, 0)::INTEGER AS final_failures,
    f.split,
    f.parent_triple_id
FROM parents AS f
LEFT JOIN tried AS t USING (raw_prompt_id)
WHERE NOT coalesce(t.over, false);

-- wanted: imported edit triples, both captions to be beautified; have: calls that are over.
-- The subject of such a call is the whole edit, one part a line.
CREATE OR REPLACE MACRO todo_beautify(
    in_recipe, in_build, in_retry, in_per_build, in_terminal
) AS TABLE
SELECT
    e.raw_prompt_id,
    e.subject,
    0::INTEGER AS sample_index,
    (coalesce(t.attempts, 0) + 1)::INTEGER AS attempt,
    coalesce(t.final_failures, 0)::INTEGER AS final_failures,
    e.split,
    e.triple_id,
    e.raw_prompt,
    e.instruction,
    e.target_prompt
FROM (
    SELECT *, concat_ws(chr(10), raw_prompt, instruction, target_prompt) AS subject
    FROM live_triples
    JOIN (SELECT recipe_id FROM recipes WHERE kind = 'import') USING (recipe_id)
) AS e
LEFT JOIN tried_calls(in_recipe, in_build, in_retry, in_per_build, in_terminal) AS t
    USING (raw_prompt_id, subject)
WHERE NOT coalesce(t.over, false);

-- wanted: the triples of every answered call; have: calls with triples. Rows here mean that a
-- build died between the two commits, which a journal's ingest makes impossible: a safety net.
CREATE OR REPLACE MACRO todo_read(in_recipe) AS TABLE
SELECT c.* FROM teacher_calls AS c
ANTI JOIN triples AS t USING (call_id)
WHERE c.recipe_id = in_recipe AND c.status = 'ok' AND c.answer IS NOT NULL;
