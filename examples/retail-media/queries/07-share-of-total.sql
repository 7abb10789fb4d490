-- Sales by brand and department: share of all that is shown, and rank within the brand. Windows run over released sums.
WITH sales AS (
  SELECT p.brand, p.department, SUM(t.sales_value) AS sales
  FROM retailer.transactions t
  JOIN retailer.products p ON p.product_id = t.product_id
  GROUP BY p.brand, p.department
)
SELECT brand, department, sales,
       ROUND(100 * sales / SUM(sales) OVER (), 1) AS percent,
       RANK() OVER (PARTITION BY brand ORDER BY sales DESC) AS place
FROM sales
ORDER BY brand, place
