-- Answers that are shown as pictures: of single cases, not of conversations.
CREATE OR REPLACE MACRO pictured_outputs(in_cases, in_methods) AS TABLE
SELECT o.method_id, o.case_id, o.prompt, c.intent, c.units
FROM evaluation_outputs AS o
JOIN evaluation_cases AS c USING (case_id)
WHERE c.case_set_id = in_cases
    AND c.form = 'single'
    AND o.status = 'ok'
    AND list_contains(in_methods, o.method_id);

-- The methods' prompts; the same renders as a build's.
CREATE OR REPLACE MACRO todo_evaluation_render(
    in_cases, in_methods, in_tis, in_seeds, in_attempts
) AS TABLE
WITH wanted_prompts AS (SELECT DISTINCT prompt FROM pictured_outputs(in_cases, in_methods))

FROM not_rendered('wanted_prompts', in_tis, in_seeds, NULL, in_attempts);

-- What the methods wrote in the conversations that a report shows: looked at, never scored.
CREATE OR REPLACE MACRO todo_conversation_render(
    in_case_ids, in_methods, in_tis, in_seeds, in_attempts
) AS TABLE
WITH wanted_prompts AS (
    SELECT DISTINCT prompt FROM evaluation_outputs
    WHERE status = 'ok'
        AND list_contains(in_case_ids, case_id)
        AND list_contains(in_methods, method_id)
)

FROM not_rendered('wanted_prompts', in_tis, in_seeds, NULL, in_attempts);

-- Every picture of an answer × scorers, asked the case's intent where the scorer reads it, and ×
-- each unit of the case for the scorers of `in_unit_scorers` (image-side integrity).
CREATE OR REPLACE MACRO todo_evaluation_score(
    in_cases, in_methods, in_tis, in_seeds, in_attempts, in_scorers, in_unit_scorers
) AS TABLE
WITH outputs AS (FROM pictured_outputs(in_cases, in_methods)),

wanted_scores AS (
    SELECT DISTINCT r.render_id, j.scorer_id, CASE WHEN j.reads_intent THEN o.intent END AS intent
    FROM outputs AS o
    JOIN pictures_of(in_tis, in_seeds) AS r USING (prompt)
    CROSS JOIN (FROM scorers WHERE list_contains(in_scorers, scorer_id)) AS j
    UNION
    SELECT DISTINCT r.render_id, s.scorer_id, o.unit AS intent
    FROM (SELECT prompt, unnest(units)."text" AS unit FROM outputs) AS o
    JOIN pictures_of(in_tis, in_seeds) AS r USING (prompt)
    CROSS JOIN (SELECT unnest(in_unit_scorers) AS scorer_id) AS s
)

FROM not_scored('wanted_scores', in_tis, in_seeds, NULL, in_attempts);
