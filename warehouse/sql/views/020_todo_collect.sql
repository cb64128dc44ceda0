-- Lines of a source that are already known, kept or refused: collect subtracts them itself,
-- since only it can read the source. `raw_prompt_id` is null for a refused line.
CREATE OR REPLACE MACRO collected_lines(in_source) AS TABLE
SELECT line, raw_prompt_id FROM occurrences WHERE source_id = in_source
UNION ALL
SELECT line, NULL FROM rejections WHERE source_id = in_source;
