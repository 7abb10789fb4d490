-- Subqueries and common table expressions.
WITH s AS (SELECT card, kind FROM shop.sales) SELECT kind, COUNT(*) AS n FROM s GROUP BY kind;
WITH s AS (SELECT card, kind FROM shop.sales WHERE region = 'n'), t AS (SELECT * FROM s WHERE kind <> 'rare') SELECT kind, COUNT(*) AS n FROM t GROUP BY kind;
SELECT kind, n FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t WHERE n > 10;
SELECT kind, n * 1.0 / (SELECT COUNT(*) FROM shop.sales) AS share FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t;
WITH a AS (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind), b AS (SELECT kind, SUM(amount) AS s FROM shop.sales GROUP BY kind) SELECT a.kind, a.n, b.s FROM a JOIN b ON a.kind = b.kind;
WITH a AS (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) SELECT x.kind, y.n FROM a x JOIN a y ON x.kind = y.kind;
WITH a AS (SELECT region, COUNT(*) AS n FROM shop.sales GROUP BY region) SELECT a.region, r.label, a.n FROM a JOIN shop.regions r ON a.region = r.region;
SELECT kind, COUNT(DISTINCT card) AS n FROM shop.sales WHERE card IN (SELECT card FROM media.users WHERE state = 'NY') GROUP BY kind;
SELECT kind, COUNT(DISTINCT card) AS n FROM shop.sales WHERE card IN (SELECT u.card FROM media.users u JOIN media.ads a ON u.card = a.card) GROUP BY kind;
SELECT kind, COUNT(*) AS n FROM shop.sales s WHERE EXISTS (SELECT 1 FROM shop.visits v WHERE v.card = s.card) AND EXISTS (SELECT 1 FROM media.users u WHERE u.card = s.card) GROUP BY kind;
SELECT (SELECT COUNT(*) FROM shop.sales) AS a, (SELECT COUNT(*) FROM shop.visits) AS b;
SELECT kind, n FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t WHERE n = (SELECT MAX(n) FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) u);
SELECT AVG(n) AS mean FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t;
SELECT kind FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t WHERE kind IN (SELECT kind FROM shop.sales WHERE region = 's' GROUP BY kind);
SELECT t.kind FROM (SELECT * FROM (SELECT * FROM (SELECT card, kind FROM shop.sales) a) b) t GROUP BY t.kind;
WITH a AS (SELECT COUNT(DISTINCT card) AS n FROM shop.sales), b AS (SELECT COUNT(DISTINCT card) AS n FROM media.users) SELECT a.n, b.n AS m, CAST(a.n AS DOUBLE) / b.n AS ratio FROM a, b;
