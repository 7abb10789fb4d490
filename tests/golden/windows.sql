-- Windows over the rows of one unit, and over what is released.
SELECT kind, COUNT(DISTINCT card) AS n FROM (SELECT card, kind, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at DESC) AS rn FROM shop.sales) t WHERE rn = 1 GROUP BY kind;
SELECT kind, SUM(amount) AS total FROM (SELECT card, kind, amount, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at) AS rn FROM shop.sales) t WHERE rn = 1 GROUP BY kind;
SELECT rn, COUNT(DISTINCT card) AS n FROM (SELECT card, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at) AS rn FROM shop.sales) t GROUP BY rn;
SELECT kind, COUNT(*) AS n FROM (SELECT card, kind, RANK() OVER (PARTITION BY card ORDER BY at) AS r FROM shop.sales) t WHERE r <= 2 GROUP BY kind;
SELECT last_kind, COUNT(DISTINCT card) AS n FROM (SELECT card, LAG(kind) OVER (PARTITION BY card ORDER BY at) AS last_kind FROM shop.sales) t GROUP BY last_kind;
SELECT next_kind, COUNT(DISTINCT card) AS n FROM (SELECT card, LEAD(kind) OVER (PARTITION BY card ORDER BY at) AS next_kind FROM shop.sales) t GROUP BY next_kind;
SELECT first_kind, COUNT(DISTINCT card) AS n FROM (SELECT card, FIRST_VALUE(kind) OVER (PARTITION BY card ORDER BY at) AS first_kind FROM shop.sales) t GROUP BY first_kind;
SELECT lines, COUNT(DISTINCT card) AS n FROM (SELECT card, COUNT(*) OVER (PARTITION BY card) AS lines FROM shop.sales) t GROUP BY lines;
SELECT kind, COUNT(DISTINCT card) AS n FROM (SELECT card, kind, COUNT(*) OVER (PARTITION BY card ORDER BY at) AS lines FROM shop.sales) t WHERE lines > 1 GROUP BY kind;
SELECT a.campaign, COUNT(DISTINCT t.card) AS n FROM (SELECT card, campaign, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at DESC) AS rn FROM media.ads) a JOIN shop.sales t ON t.card = a.card WHERE a.rn = 1 GROUP BY a.campaign;
SELECT kind, COUNT(DISTINCT card) AS n, SUM(COUNT(DISTINCT card)) OVER () AS total FROM shop.sales GROUP BY kind;
SELECT kind, SUM(amount) AS s, RANK() OVER (ORDER BY SUM(amount) DESC) AS place FROM shop.sales GROUP BY kind;
SELECT kind, n, LAG(n) OVER (ORDER BY kind) AS before FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t;
SELECT kind, n, SUM(n) OVER (ORDER BY kind ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running FROM (SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind) t;
SELECT kind, region, COUNT(*) AS n, ROW_NUMBER() OVER (PARTITION BY region ORDER BY COUNT(*) DESC, kind) AS place FROM shop.sales GROUP BY kind, region;
SELECT kind, COUNT(*) AS n FROM (SELECT card, kind, ROW_NUMBER() OVER (PARTITION BY card ORDER BY at) AS rn FROM shop.sales WHERE region = 'n') t WHERE rn = 1 GROUP BY kind;
