-- The ten departments that exposed households spent most in.
SELECT p.department, COUNT(DISTINCT t.household_id) AS households, SUM(t.sales_value) AS sales
FROM retailer.transactions t
JOIN retailer.products p ON p.product_id = t.product_id
WHERE t.household_id IN (SELECT household_id FROM agency.exposures)
GROUP BY p.department
ORDER BY sales DESC
LIMIT 10
