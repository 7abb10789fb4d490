-- Sales by week, and the change from the week before.
WITH weekly AS (
  SELECT week, COUNT(DISTINCT household_id) AS households, SUM(sales_value) AS sales
  FROM retailer.transactions
  GROUP BY week
)
SELECT week, households, sales, ROUND(sales - LAG(sales) OVER (ORDER BY week), 2) AS change
FROM weekly
ORDER BY week
