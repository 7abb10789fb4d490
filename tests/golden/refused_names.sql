-- Names that are not there for the asking partner.
SELECT secret FROM shop.sales;
SELECT kind, secret, COUNT(*) FROM shop.sales GROUP BY kind, secret;
SELECT COUNT(*) FROM shop.sales WHERE secret = 's1';
SELECT COUNT(DISTINCT secret) FROM shop.sales;
SELECT nosuch FROM shop.sales;
SELECT COUNT(*) FROM shop.nosuch;
SELECT COUNT(*) FROM sales;
SELECT COUNT(*) FROM other.sales;
SELECT COUNT(*) FROM information_schema.tables;
SELECT COUNT(*) FROM __cr_release_0;
SELECT COUNT(*) AS n, SUM(amount) AS n FROM shop.sales;
SELECT kind AS __cr_g_0, COUNT(*) AS n FROM shop.sales GROUP BY kind;
