-- The dataset: rows of the latest published version. A version is a partition of its own.
CREATE OR REPLACE VIEW instructpe AS
SELECT * FROM published_rows
WHERE version = (SELECT max(version) FROM dataset_versions WHERE status = 'published');
