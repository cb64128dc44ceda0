-- One band: pairs of a row that no rule refused and the smallest id it shares the band with.
INSERT INTO near_pairs
SELECT place, other FROM (
    SELECT place, min(place) OVER (PARTITION BY bands[$band]) AS other FROM near_rows
    WHERE bands[$band] IS NOT NULL
) WHERE other < place;
