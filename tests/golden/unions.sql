-- Rows under each other, and answers under each other.
SELECT COUNT(DISTINCT card) AS n FROM (SELECT card FROM shop.sales UNION ALL SELECT card FROM shop.visits) t;
SELECT label, COUNT(DISTINCT card) AS n FROM (SELECT card, kind AS label FROM shop.sales UNION ALL SELECT card, page AS label FROM shop.visits) t GROUP BY label;
SELECT label, COUNT(*) AS n FROM (SELECT card, kind AS label FROM shop.sales UNION ALL SELECT card, state FROM media.users) t GROUP BY label;
SELECT COUNT(DISTINCT card) AS n FROM (SELECT card FROM shop.sales UNION ALL SELECT card FROM media.users) t;
SELECT COUNT(*) AS n FROM (SELECT card FROM shop.sales UNION ALL SELECT card FROM shop.sales) t;
SELECT what, COUNT(DISTINCT card) AS n FROM (SELECT card, 'sale' AS what FROM shop.sales UNION ALL SELECT card, 'visit' AS what FROM shop.visits) t GROUP BY what;
SELECT t.label, COUNT(DISTINCT u.card) AS n FROM (SELECT card, kind AS label FROM shop.sales UNION ALL SELECT card, page FROM shop.visits) t JOIN media.users u ON t.card = u.card GROUP BY t.label;
SELECT COUNT(DISTINCT card) AS n FROM (SELECT card FROM shop.sales UNION SELECT card FROM shop.visits) t;
SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY kind UNION ALL SELECT page, COUNT(*) AS n FROM shop.visits GROUP BY page ORDER BY 1;
SELECT 'sales' AS what, COUNT(DISTINCT card) AS n FROM shop.sales UNION ALL SELECT 'visits', COUNT(DISTINCT card) FROM shop.visits ORDER BY 1;
SELECT kind FROM shop.sales GROUP BY kind UNION SELECT page FROM shop.visits GROUP BY page ORDER BY 1;
SELECT kind FROM shop.sales GROUP BY kind INTERSECT SELECT kind FROM shop.sales WHERE region = 'n' GROUP BY kind;
SELECT kind FROM shop.sales GROUP BY kind EXCEPT SELECT kind FROM shop.sales WHERE region = 'n' GROUP BY kind;
SELECT label, n FROM (SELECT kind AS label, COUNT(*) AS n FROM shop.sales GROUP BY kind UNION ALL SELECT region, COUNT(*) FROM shop.sales GROUP BY region) t ORDER BY n DESC, label LIMIT 4;
SELECT COUNT(DISTINCT card) AS n, SUM(x) AS s FROM (SELECT card, amount AS x FROM shop.sales UNION ALL SELECT card, amount AS x FROM shop.sales WHERE kind = 'red') t;
SELECT COUNT(DISTINCT card) AS n, COUNT(*) AS rows FROM (SELECT card FROM shop.sales UNION ALL SELECT card FROM media.users UNION ALL SELECT card FROM panel.homes) t;
SELECT COUNT(*) AS n, COUNT(DISTINCT s.card) AS buyers FROM shop.sales s FULL JOIN media.users u ON u.card = s.card FULL JOIN panel.homes h ON h.card = u.card;
