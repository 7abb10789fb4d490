-- How many customers did each campaign reach? A campaign that reached too few of them is not shown.
SELECT c.name, COUNT(DISTINCT t.household_id) AS customers_reached
FROM agency.exposures e
JOIN agency.campaigns c ON c.campaign_id = e.campaign_id
JOIN retailer.transactions t ON t.household_id = e.household_id
GROUP BY c.name
ORDER BY customers_reached DESC
