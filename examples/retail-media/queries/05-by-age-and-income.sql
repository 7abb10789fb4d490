-- Sales by age and income. Groups of fewer than 25 households are not shown.
SELECT d.age, d.income, COUNT(DISTINCT t.household_id) AS households, SUM(t.sales_value) AS sales
FROM retailer.transactions t
JOIN agency.demographics d USING (household_id)
GROUP BY d.age, d.income
ORDER BY d.age, d.income
