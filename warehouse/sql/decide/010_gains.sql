-- Mean score of each prompt over the seeds, and of each (prompt, intent). Prompts and intents are
-- 128-bit hashes here: joins on texts took twice the memory. A prompt counts once all seeds have
-- a score. Only the two scorers named are read: never the held-out one.
CREATE OR REPLACE TEMP TABLE looks AS
SELECT md5_number(r.prompt) AS prompt, avg(s.value) AS score
FROM renders AS r JOIN scores AS s USING (render_id)
WHERE r.tis_id = $tis AND r.status = 'ok' AND list_contains($seeds::BIGINT[], r.seed)
    AND s.scorer_id = $aesthetics AND s.status = 'ok'
GROUP BY ALL HAVING count(*) >= len($seeds::BIGINT[]);

CREATE OR REPLACE TEMP TABLE liked AS
SELECT
    md5_number(r.prompt) AS prompt,
    md5_number(coalesce(s.intent, '')) AS intent,
    avg(s.value) AS score
FROM renders AS r JOIN scores AS s USING (render_id)
WHERE r.tis_id = $tis AND r.status = 'ok' AND list_contains($seeds::BIGINT[], r.seed)
    AND s.scorer_id = $preference AND s.status = 'ok'
GROUP BY ALL HAVING count(*) >= len($seeds::BIGINT[]);
