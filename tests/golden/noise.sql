-- Terms
SELECT COUNT(*) AS n FROM shop.sales;
SELECT COUNT(DISTINCT card) AS people FROM shop.sales;
SELECT SUM(amount) AS s FROM shop.sales;
SELECT SUM(qty) AS q FROM shop.sales;
SELECT AVG(amount) AS mean FROM shop.sales;
SELECT VAR_SAMP(amount) AS v, STDDEV_POP(amount) AS d FROM shop.sales;
SELECT COUNT(amount) AS paid FROM shop.sales WHERE kind = 'red';
-- Terms that several columns share are drawn and paid for once
SELECT COUNT(*) AS n, SUM(amount) AS s, AVG(amount) AS mean FROM shop.sales;
SELECT COUNT(DISTINCT card) AS people, COUNT(*) AS n, COUNT(*) * 1.0 / COUNT(DISTINCT card) AS frequency FROM shop.sales;
-- Groups: declared, and not
SELECT kind, COUNT(DISTINCT card) AS people FROM shop.sales GROUP BY kind;
SELECT region, COUNT(DISTINCT card) AS people FROM shop.sales GROUP BY region;
SELECT kind, region, SUM(amount) AS s FROM shop.sales GROUP BY kind, region;
SELECT kind, COUNT(*) AS n FROM shop.sales GROUP BY ROLLUP(kind);
SELECT date_trunc('month', at) AS month, SUM(amount) AS s FROM shop.sales GROUP BY 1 HAVING SUM(amount) > 10 ORDER BY 1;
-- Quantiles
SELECT MEDIAN(amount) AS middle FROM shop.sales;
SELECT kind, PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY amount) AS high FROM shop.sales GROUP BY kind;
SELECT MEDIAN(qty) AS middle, SUM(qty) AS q, COUNT(*) AS n FROM shop.sales;
SELECT kind, APPROX_PERCENTILE_CONT(amount, 0.25) AS low, MEDIAN(amount) AS middle FROM shop.sales GROUP BY kind;
-- Several owners
SELECT COUNT(DISTINCT s.card) AS both FROM shop.sales s JOIN media.users u ON s.card = u.card;
SELECT u.state, COUNT(DISTINCT s.card) AS buyers, SUM(s.amount) AS spent FROM shop.sales s JOIN media.users u ON s.card = u.card GROUP BY u.state;
SELECT u.band, COUNT(*) AS n FROM shop.sales s JOIN media.users u ON s.card = u.card JOIN panel.homes h ON h.card = s.card GROUP BY u.band;
SELECT COUNT(*) AS n FROM media.users u LEFT JOIN shop.visits v ON v.card = u.card;
-- Of each unit first
SELECT busy, COUNT(*) AS people, SUM(spent) AS s FROM (SELECT card, COUNT(*) > 2 AS busy, SUM(amount) AS spent FROM shop.sales GROUP BY card) t GROUP BY busy;
-- What has no noise
SELECT MAX(amount) FROM shop.sales;
SELECT size, MEDIAN(income) FROM panel.homes GROUP BY ROLLUP(size);
SELECT f.rooms, COUNT(*) FROM panel.flats f JOIN shop.sales s ON f.flat = s.card GROUP BY f.rooms;
SELECT COUNT(*) FROM shop.regions r JOIN shop.sales s ON s.region = r.region JOIN panel.flats f ON f.rooms > 1;
