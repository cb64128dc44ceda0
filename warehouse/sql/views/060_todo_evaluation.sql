-- Answers that are shown as pictures: of single cases, not of conversations.
CREATE OR REPLACE MACRO pictured_outputs(in_cases, in_methods) AS TABLE
SELECT o.method_id, o.case_id, o.prompt, c.intent, c.units
FROM evaluation_outputs AS o
JOIN evaluation_cases AS c USING (case_id)
WHERE c.case_set_id = in_cases
    AND c.form = 'single'
    AND o.status = 'ok'
    AND list_contains(in_methods, o.method_id);

-- wanted: the methods' prompts × seeds under one text-to-image model;
-- have: renders that are ok or failed too often.  The same renders as a build's.
CREATE OR REPLACE MACRO todo_evaluation_render(
    in_cases, in_methods, in_tis, in_seeds, in_attempts
) AS TABLE
WITH prompts AS (SELECT DISTINCT prompt FROM pictured_outputs(in_cases, in_methods)),

tried AS (
    SELECT prompt, seed, max(attempt) AS attempts, bool_or(status = 'ok') AS rendered
    FROM renders
    WHERE tis_id = in_tis AND list_contains(in_seeds, seed)
    GROUP BY prompt, seed
)

SELECT
    w.prompt,
    in_tis AS tis_id,
    w.seed,
    (coalesce(t.attempts, 0) + 1)::INTEGER AS attempt
FROM (SELECT prompt, unnest(in_seeds)::BIGINT AS seed FROM prompts) AS w
LEFT JOIN tried AS t USING (prompt, seed)
WHERE NOT coalesce(t.rendered OR t.attempts >= in_attempts, false);

-- wanted: every picture of an answer × scorers, asked the case's intent where the scorer reads it,
-- and × each unit of the case for the scorers of `in_unit_scorers` (image-side integrity).
CREATE OR REPLACE MACRO todo_evaluation_score(
    in_cases, in_methods, in_tis, in_seeds, in_attempts, in_scorers, in_unit_scorers
) AS TABLE
WITH outputs AS (FROM pictured_outputs(in_cases, in_methods)),

pictures AS (
    SELECT render_id, prompt, image_sha256 FROM renders
    WHERE tis_id = in_tis AND list_contains(in_seeds, seed) AND status = 'ok'
),

asked AS (
    SELECT DISTINCT r.render_id, j.scorer_id, CASE WHEN j.reads_intent THEN o.intent END AS intent
    FROM outputs AS o
    JOIN pictures AS r USING (prompt)
    CROSS JOIN (FROM scorers WHERE list_contains(in_scorers, scorer_id)) AS j
    UNION
    SELECT DISTINCT r.render_id, s.scorer_id, o.unit AS intent
    FROM (SELECT prompt, unnest(units)."text" AS unit FROM outputs) AS o
    JOIN pictures AS r USING (prompt)
    CROSS JOIN (SELECT unnest(in_unit_scorers) AS scorer_id) AS s
),

tried AS (
    SELECT
        render_id,
        scorer_id,
        coalesce(intent, '') AS asked_intent,
        max(attempt) AS attempts,
        bool_or(status = 'ok') AS scored
    FROM scores SEMI JOIN pictures USING (render_id)
    GROUP BY ALL
)

SELECT
    a.render_id,
    r.prompt,
    r.image_sha256,
    a.scorer_id,
    a.intent,
    (coalesce(t.attempts, 0) + 1)::INTEGER AS attempt
FROM asked AS a
JOIN pictures AS r USING (render_id)
LEFT JOIN tried AS t
    ON t.render_id = a.render_id
    AND t.scorer_id = a.scorer_id
    AND t.asked_intent = coalesce(a.intent, '')
WHERE NOT coalesce(t.scored OR t.attempts >= in_attempts, false);
