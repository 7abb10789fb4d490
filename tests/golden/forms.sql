-- Ranks are signed, above and below a release.
SELECT kind, RANK() OVER (ORDER BY COUNT(*) DESC) - RANK() OVER (ORDER BY COUNT(DISTINCT card)) AS d FROM shop.sales GROUP BY kind ORDER BY kind;
SELECT kind, 0 - ROW_NUMBER() OVER (ORDER BY kind) AS d FROM shop.sales GROUP BY kind HAVING COUNT(*) > 1 ORDER BY kind;
WITH o AS (SELECT card, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at) AS a, ROW_NUMBER() OVER (PARTITION BY card, kind ORDER BY at) AS b FROM shop.sales), m AS (SELECT card, MIN(b - a) AS d FROM o GROUP BY card) SELECT CASE WHEN d < 0 THEN 'below' ELSE 'not' END AS k, COUNT(*) AS n FROM m GROUP BY 1 ORDER BY 1;
-- Shares and sums in their usual spellings.
SELECT AVG(CASE WHEN kind = 'red' THEN 1 ELSE 0 END) AS share, AVG(CASE WHEN kind = 'rare' THEN 1.0 ELSE 0.0 END) AS few FROM shop.sales;
SELECT SUM(CAST(qty > 2 AS INTEGER)) AS a, SUM(CASE WHEN qty > 2 THEN 1 WHEN NOT qty > 2 THEN 0 END) AS b, SUM(CASE WHEN qty > 2 THEN 1 ELSE 0 END) AS c FROM shop.sales;
SELECT SUM(COALESCE(qty, 0)) AS a, SUM(qty) AS b, SUM(COALESCE(amount, 0)) AS c FROM shop.sales;
WITH p AS (SELECT card, SUM(CASE WHEN kind = 'red' THEN 1 ELSE 0 END) AS red, COUNT(*) FILTER (WHERE kind = 'rare') AS rare, COUNT(*) AS n FROM shop.sales GROUP BY card) SELECT COUNT(*) FILTER (WHERE red > 0) AS some, COUNT(*) FILTER (WHERE red = 0) AS none, SUM(red) AS red, SUM(rare) AS rare, SUM(n) AS n FROM p;
WITH p AS (SELECT card, SUM(CASE WHEN at < '2024-02-01' THEN qty ELSE 0 END) AS a, SUM(CASE WHEN at >= '2024-02-01' THEN qty ELSE 0 END) AS b FROM shop.sales GROUP BY card) SELECT CASE WHEN b = 0 THEN 'lost' WHEN b > a THEN 'up' ELSE 'down' END AS k, COUNT(*) AS n, SUM(a) AS a FROM p GROUP BY 1 ORDER BY 1;
-- Lists of constants, and other spellings.
SELECT v.grp, COUNT(DISTINCT u.card) AS n, COUNT(*) AS rows FROM media.users u JOIN (VALUES ('young', 'A'), ('middle', 'B'), ('old', 'B')) AS v(band, grp) ON v.band = u.band GROUP BY v.grp ORDER BY 1;
SELECT kind AS __kind, COUNT(*) AS n FROM shop.sales GROUP BY kind ORDER BY kind FETCH FIRST 2 ROWS ONLY;
SELECT COUNT(DISTINCT card) AS n FROM shop.sales WHERE card = ANY (SELECT card FROM shop.visits);
SELECT r.region, (SELECT COUNT(DISTINCT s.card) FROM shop.sales s WHERE s.region = r.region AND s.kind = 'rare') AS n FROM shop.regions r ORDER BY 1;
SELECT 1 / 0 AS x;
SELECT * FROM generate_series(1, 5);
SELECT kind, COUNT(*) AS n FROM (SELECT DISTINCT ON (card) card, kind FROM shop.sales ORDER BY card, at) t GROUP BY kind ORDER BY kind;
SELECT DISTINCT ON (region) region, kind, n FROM (SELECT region, kind, COUNT(*) AS n FROM shop.sales GROUP BY region, kind) t ORDER BY region, n DESC, kind;
SELECT kind, COUNT(DISTINCT card) AS n FROM shop.sales JOIN media.users USING (card) JOIN shop.visits USING (card) GROUP BY kind ORDER BY kind;
SELECT AVG(k) FROM (SELECT card, COUNT(*) FILTER (WHERE kind = 'red') AS k FROM shop.sales GROUP BY card) t;
