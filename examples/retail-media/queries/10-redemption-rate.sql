-- Which share of the customers a campaign reached redeemed its coupons? One released count divided by another.
WITH reached AS (
  SELECT e.campaign_id, COUNT(DISTINCT t.household_id) AS households
  FROM agency.exposures e
  JOIN retailer.transactions t ON t.household_id = e.household_id
  GROUP BY e.campaign_id
),
redeemed AS (
  SELECT campaign_id, COUNT(DISTINCT household_id) AS households
  FROM retailer.redemptions
  GROUP BY campaign_id
)
SELECT c.name, reached.households AS reached, redeemed.households AS redeemed,
       ROUND(100.0 * redeemed.households / reached.households, 1) AS percent
FROM reached
JOIN redeemed ON redeemed.campaign_id = reached.campaign_id
JOIN agency.campaigns c ON c.campaign_id = reached.campaign_id
ORDER BY percent DESC
