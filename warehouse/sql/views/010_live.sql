-- What the stages start from: nothing removed. `removals` names raw prompts or triples.
CREATE OR REPLACE VIEW live_raw_prompts AS
SELECT * FROM raw_prompts ANTI JOIN removals ON raw_prompt_id = removed_id;

CREATE OR REPLACE VIEW live_triples AS
SELECT * FROM triples
ANTI JOIN removals ON triple_id = removals.removed_id
ANTI JOIN removals AS roots ON raw_prompt_id = roots.removed_id;

-- Raw prompts that a build is about: seen in one of `in_sources` (empty: in any), within the first
-- `in_lines` lines of it (null: anywhere). So a build with a limit does the work of its own lines
-- and not what a larger build has left to do.
CREATE OR REPLACE MACRO prompts_in_scope(in_sources, in_lines) AS TABLE
SELECT DISTINCT raw_prompt_id FROM occurrences
WHERE (len(in_sources) = 0 OR list_contains(in_sources, source_id))
    AND (in_lines IS NULL OR line <= in_lines);

-- Triples worth a render: those that passed every rule check. `in_recipes` empty: of any recipe.
-- Imported triples are in every scope: nobody asked for them but to have them judged.
CREATE OR REPLACE MACRO valid_triples(in_recipes, in_sources, in_lines) AS TABLE
SELECT * FROM live_triples
WHERE len(coalesce(violations, [])) = 0
    AND (len(in_recipes) = 0 OR list_contains(in_recipes, recipe_id))
    AND (
        (len(in_sources) = 0 AND in_lines IS NULL)
        OR raw_prompt_id IN (SELECT raw_prompt_id FROM prompts_in_scope(in_sources, in_lines))
        OR recipe_id IN (SELECT recipe_id FROM recipes WHERE kind = 'import')
    );
