-- Pictures there are of one text-to-image model.
CREATE OR REPLACE MACRO pictures_of(in_tis, in_seeds) AS TABLE
SELECT render_id, prompt, image_sha256 FROM renders
WHERE tis_id = in_tis AND list_contains(in_seeds, seed) AND status = 'ok';

-- wanted: every (render_id, scorer_id, intent) of the relation named `in_wanted`;
-- have: scores that are ok or failed too often since `in_since` (null: ever).
CREATE OR REPLACE MACRO not_scored(in_wanted, in_tis, in_seeds, in_since, in_attempts) AS TABLE
-- What was ever tried is subtracted first: on a finished lake nothing is left to count below.
WITH missing AS (
    SELECT a.render_id, a.scorer_id, a.intent, false AS failed
    FROM query_table(in_wanted) AS a
    ANTI JOIN scores AS s
        ON s.render_id = a.render_id
        AND s.scorer_id = a.scorer_id
        AND coalesce(s.intent, '') = coalesce(a.intent, '')
    UNION ALL
    SELECT a.render_id, a.scorer_id, a.intent, true
    FROM query_table(in_wanted) AS a
    SEMI JOIN (
        SELECT render_id, scorer_id, coalesce(intent, '') AS intent
        FROM scores
        WHERE status <> 'ok'
        GROUP BY ALL
    ) AS f
        ON f.render_id = a.render_id
        AND f.scorer_id = a.scorer_id
        AND f.intent = coalesce(a.intent, '')
),

tried AS (
    SELECT
        s.render_id,
        s.scorer_id,
        s.intent,
        max(s.attempt) AS attempts,
        bool_or(s.status = 'ok') AS scored,
        count(*) FILTER (in_since IS NULL OR s.scored_at >= in_since) AS failures
    FROM scores AS s
    SEMI JOIN (FROM missing WHERE failed) AS m
        ON m.render_id = s.render_id AND m.scorer_id = s.scorer_id
    GROUP BY s.render_id, s.scorer_id, s.intent
)

SELECT
    m.render_id,
    r.prompt,
    r.image_sha256,
    m.scorer_id,
    m.intent,
    (coalesce(t.attempts, 0) + 1)::INTEGER AS attempt
FROM missing AS m
JOIN pictures_of(in_tis, in_seeds) AS r USING (render_id)
LEFT JOIN tried AS t
    ON t.render_id = m.render_id
    AND t.scorer_id = m.scorer_id
    AND coalesce(t.intent, '') = coalesce(m.intent, '')
WHERE NOT coalesce(t.scored OR t.failures >= in_attempts, false);

-- Every render of a valid triple's prompts × scorers, and × the triple's intent where the scorer
-- reads it (the raw prompt's render too is asked for the intent of the edit).
CREATE OR REPLACE MACRO todo_score(
    in_tis, in_seeds, in_scorers, in_recipes, in_sources, in_lines, in_since, in_attempts
) AS TABLE
WITH judges AS (
    SELECT scorer_id, reads_intent FROM scorers WHERE list_contains(in_scorers, scorer_id)
),

texts AS (
    SELECT DISTINCT unnest([raw_prompt, target_prompt]) AS prompt
    FROM valid_triples(in_recipes, in_sources, in_lines)
),

pairs AS (
    SELECT DISTINCT unnest([raw_prompt, target_prompt]) AS prompt, intent
    FROM valid_triples(in_recipes, in_sources, in_lines)
    WHERE EXISTS (FROM judges WHERE reads_intent)
),

wanted_scores AS (
    SELECT r.render_id, j.scorer_id, NULL::VARCHAR AS intent
    FROM pictures_of(in_tis, in_seeds) AS r SEMI JOIN texts USING (prompt)
    CROSS JOIN (FROM judges WHERE NOT reads_intent) AS j
    UNION ALL
    SELECT r.render_id, j.scorer_id, p.intent
    FROM pictures_of(in_tis, in_seeds) AS r JOIN pairs AS p USING (prompt)
    CROSS JOIN (FROM judges WHERE reads_intent) AS j
)

FROM not_scored('wanted_scores', in_tis, in_seeds, in_since, in_attempts);
