-- What did the households buy that any campaign reached?
SELECT COUNT(DISTINCT household_id) AS households, COUNT(*) AS lines, SUM(sales_value) AS sales, AVG(sales_value) AS per_line
FROM retailer.transactions
WHERE household_id IN (SELECT household_id FROM agency.exposures)
