-- How many households of the campaigns are customers of the retailer?
SELECT COUNT(DISTINCT t.household_id) AS households
FROM retailer.transactions t
JOIN agency.exposures e ON e.household_id = t.household_id
