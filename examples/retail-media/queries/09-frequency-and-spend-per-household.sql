-- Basket lines and money per household, by age. First one row per household, then averages over households.
SELECT d.age, COUNT(*) AS households, AVG(h.lines) AS lines_per_household, AVG(h.spend) AS spend_per_household
FROM (
  SELECT household_id, COUNT(*) AS lines, SUM(sales_value) AS spend
  FROM retailer.transactions
  GROUP BY household_id
) h
JOIN agency.demographics d ON d.household_id = h.household_id
GROUP BY d.age
ORDER BY d.age
