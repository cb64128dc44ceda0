-- wanted: every render of a valid triple's prompts × scorers, and × the triple's intent where the
-- scorer reads it (the raw prompt's render too is asked for the intent of the edit);
-- have: scores that are ok or failed too often since `in_since` (null: ever).
CREATE OR REPLACE MACRO todo_score(
    in_tis, in_seeds, in_scorers, in_recipes, in_sources, in_lines, in_since, in_attempts
) AS TABLE
WITH pairs AS (
    SELECT raw_prompt AS prompt, intent FROM valid_triples(in_recipes, in_sources, in_lines)
    UNION
    SELECT target_prompt AS prompt, intent FROM valid_triples(in_recipes, in_sources, in_lines)
),

pictures AS (
    SELECT DISTINCT ON (render_id) render_id, prompt, image_sha256
    FROM renders
    WHERE tis_id = in_tis AND list_contains(in_seeds, seed) AND status = 'ok'
),

wanted AS (
    SELECT r.render_id, r.prompt, r.image_sha256, p.intent
    FROM pictures AS r JOIN pairs AS p USING (prompt)
),

tried AS (
    SELECT
        render_id,
        scorer_id,
        intent,
        max(attempt) AS attempts,
        bool_or(status = 'ok') AS scored,
        count(*) FILTER (in_since IS NULL OR scored_at >= in_since) AS failures
    FROM scores
    WHERE list_contains(in_scorers, scorer_id)
    GROUP BY render_id, scorer_id, intent
),

asked AS (
    SELECT DISTINCT
        w.render_id,
        w.prompt,
        w.image_sha256,
        s.scorer_id,
        CASE WHEN s.reads_intent THEN w.intent END AS intent
    FROM wanted AS w
    CROSS JOIN (FROM scorers WHERE list_contains(in_scorers, scorer_id)) AS s
)

SELECT
    a.render_id,
    a.prompt,
    a.image_sha256,
    a.scorer_id,
    a.intent,
    (coalesce(t.attempts, 0) + 1)::INTEGER AS attempt
FROM asked AS a
LEFT JOIN tried AS t
    ON t.render_id = a.render_id
    AND t.scorer_id = a.scorer_id
    AND t.intent IS NOT DISTINCT FROM a.intent
WHERE NOT coalesce(t.scored OR t.failures >= in_attempts, false);
