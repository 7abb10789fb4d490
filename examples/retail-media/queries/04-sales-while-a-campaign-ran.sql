-- What did they buy while the campaign ran that had reached them?
SELECT c.name, COUNT(DISTINCT t.household_id) AS buyers, SUM(t.sales_value) AS sales
FROM agency.exposures e
JOIN agency.campaigns c ON c.campaign_id = e.campaign_id
JOIN retailer.transactions t
  ON t.household_id = e.household_id AND t.bought_on BETWEEN c.start_date AND c.end_date
GROUP BY c.campaign_id, c.name
ORDER BY sales DESC
