-- What the other forms are not.
SELECT AVG(k * 2) FROM (SELECT card, COUNT(*) FILTER (WHERE kind = 'red') AS k FROM shop.sales GROUP BY card) t;
SELECT v.grp, COUNT(*) AS rows FROM media.users u JOIN (VALUES ('young', 'A'), ('young', 'B')) AS v(band, grp) ON v.band = u.band GROUP BY v.grp;
SELECT COUNT(DISTINCT x.card) AS n FROM shop.visits x JOIN (VALUES ('home'), ('pay')) AS v(page) ON v.page = x.page;
SELECT COUNT(*) FROM panel.strict t JOIN shop.sales s ON s.card = t.card JOIN (VALUES ('gold')) AS v(tier) ON v.tier = t.tier;
SELECT kind AS __cr_unit_0, COUNT(*) AS n FROM shop.sales GROUP BY kind;
SELECT COUNT(*) FROM shop.regions WHERE label < CURRENT_DATE;
SELECT kind COUNT(*) FROM shop.sales GROUP kind;
