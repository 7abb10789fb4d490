-- Totals beside their parts.
SELECT kind, COUNT(DISTINCT card) AS n FROM shop.sales GROUP BY ROLLUP(kind);
SELECT kind, COUNT(DISTINCT card) AS n FROM shop.sales WHERE kind <> 'rare' GROUP BY ROLLUP(kind);
SELECT kind, region, COUNT(DISTINCT card) AS n FROM shop.sales WHERE kind <> 'rare' GROUP BY ROLLUP(kind, region);
SELECT kind, region, COUNT(DISTINCT card) AS n FROM shop.sales GROUP BY CUBE(kind, region);
SELECT kind, region, SUM(amount) AS total FROM shop.sales GROUP BY GROUPING SETS ((kind), (region));
SELECT kind, region, SUM(amount) AS total FROM shop.sales GROUP BY GROUPING SETS ((kind, region), ());
SELECT kind, GROUPING(kind) AS whole, COUNT(*) AS n FROM shop.sales WHERE kind IN ('red', 'blue') GROUP BY ROLLUP(kind) ORDER BY whole, kind;
SELECT u.state, u.band, COUNT(DISTINCT s.card) AS n FROM shop.sales s JOIN media.users u ON s.card = u.card GROUP BY CUBE(u.state, u.band);
SELECT u.state, u.band, COUNT(DISTINCT s.card) AS n FROM shop.sales s JOIN media.users u ON s.card = u.card WHERE u.band <> 'old' GROUP BY CUBE(u.state, u.band);
SELECT r.label, COUNT(*) AS n FROM shop.sales s JOIN shop.regions r ON s.region = r.region GROUP BY ROLLUP(r.label);
SELECT kind, region, COUNT(*) AS n FROM shop.sales GROUP BY kind, ROLLUP(region) HAVING COUNT(*) > 3 ORDER BY kind, region;
SELECT page, AVG(secs) AS mean FROM shop.visits GROUP BY ROLLUP(page);
SELECT h.size, COUNT(DISTINCT h.card) AS n FROM panel.homes h GROUP BY ROLLUP(h.size) HAVING GROUPING(h.size) = 1;
WITH t AS (SELECT COUNT(*) AS n FROM shop.sales), p AS (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) SELECT p.kind, p.n, t.n AS whole FROM p, t;
SELECT kind, COUNT(*) AS n, (SELECT COUNT(*) FROM shop.sales) AS whole FROM shop.sales GROUP BY kind;
