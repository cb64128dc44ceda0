-- wanted: every prompt of the relation named `in_wanted` × seeds under one text-to-image model;
-- have: renders that are ok or failed too often since `in_since` (null: ever).
-- A render's id is a hash computed in Python, so the join is on what it is a hash of.
CREATE OR REPLACE MACRO not_rendered(
    in_wanted, in_tis, in_seeds, in_since, in_attempts
) AS TABLE
WITH tried AS (
    SELECT
        prompt,
        seed,
        max(attempt) AS attempts,
        bool_or(status = 'ok') AS rendered,
        count(*) FILTER (in_since IS NULL OR rendered_at >= in_since) AS failures
    FROM renders
    WHERE tis_id = in_tis AND list_contains(in_seeds, seed)
    GROUP BY prompt, seed
)

SELECT
    w.prompt,
    in_tis AS tis_id,
    w.seed,
    (coalesce(t.attempts, 0) + 1)::INTEGER AS attempt
FROM (SELECT prompt, unnest(in_seeds)::BIGINT AS seed FROM query_table(in_wanted)) AS w
LEFT JOIN tried AS t USING (prompt, seed)
WHERE NOT coalesce(t.rendered OR t.failures >= in_attempts, false);

-- Both prompts of every valid triple.
CREATE OR REPLACE MACRO todo_render(
    in_tis, in_seeds, in_recipes, in_sources, in_lines, in_since, in_attempts
) AS TABLE
WITH wanted_prompts AS (
    SELECT raw_prompt AS prompt FROM valid_triples(in_recipes, in_sources, in_lines)
    UNION
    SELECT target_prompt AS prompt FROM valid_triples(in_recipes, in_sources, in_lines)
)

FROM not_rendered('wanted_prompts', in_tis, in_seeds, in_since, in_attempts);
