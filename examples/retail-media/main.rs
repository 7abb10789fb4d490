//! Writes the data of this example: `cargo run --example retail-media`. Invented, and the same on every run.

use std::fs;
use std::io;
use std::path::Path;

/// Weeks of data; the first day is a Monday, 2 March 2026.
const WEEKS: u64 = 12;
/// Households 1 to this one shop at the retailer.
const LAST_CUSTOMER: u64 = 620;
/// Households from this one on are known to the agency.
const FIRST_REACHED: u64 = 181;
/// The last household there is.
const LAST: u64 = 900;

/// Name, type, first and last day counted from the first day of the data, and how many of 1 000 households it reached.
const CAMPAIGNS: [(&str, &str, u64, u64, u64); 7] = [
    ("Spring fresh", "mailing", 7, 34, 520),
    ("Breakfast week", "display", 14, 27, 310),
    ("Grill season", "mailing", 42, 76, 390),
    ("Easter", "display", 21, 41, 270),
    ("Own brand month", "coupon book", 28, 55, 230),
    ("New in town", "display", 49, 62, 95),
    ("Test flight", "coupon book", 56, 69, 24),
];

/// Name, how many of its products there are, how often it is bought, least and greatest price in cents.
const DEPARTMENTS: [(&str, u64, u64, u64, u64); 13] = [
    ("GROCERY", 30, 300, 89, 799),
    ("PRODUCE", 16, 170, 79, 499),
    ("DAIRY", 14, 160, 69, 449),
    ("MEAT", 10, 90, 299, 1999),
    ("BAKERY", 9, 80, 99, 549),
    ("FROZEN", 9, 60, 199, 899),
    ("DRINKS", 9, 55, 59, 1299),
    ("HOUSEHOLD", 7, 35, 149, 1499),
    ("BEAUTY", 6, 22, 199, 1299),
    ("DELI", 4, 14, 199, 1199),
    ("FLOWERS", 3, 8, 299, 1999),
    ("PETS", 3, 5, 149, 2999),
    ("TOYS", 2, 1, 499, 3999),
];

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/retail-media/data");
    fs::create_dir_all(&folder)?;
    let mut random = Random(20_260_302);
    let exposures = exposures(&mut random);
    fs::write(folder.join("products.csv"), products())?;
    fs::write(folder.join("transactions.csv"), transactions(&mut random, &exposures))?;
    fs::write(folder.join("redemptions.csv"), redemptions(&mut random, &exposures))?;
    fs::write(folder.join("campaigns.csv"), campaigns())?;
    fs::write(folder.join("demographics.csv"), demographics(&mut random))?;
    let mut text = "household_id,campaign_id\n".to_owned();
    for (household, campaign) in &exposures {
        text.push_str(&format!("{household},{campaign}\n"));
    }
    fs::write(folder.join("exposures.csv"), text)
}

/// Who was reached by which campaign.
fn exposures(random: &mut Random) -> Vec<(u64, u64)> {
    let mut rows = Vec::new();
    for household in FIRST_REACHED..=LAST {
        for (campaign, (_, _, _, _, reach)) in (1..).zip(CAMPAIGNS) {
            if random.below(1000) < reach {
                rows.push((household, campaign));
            }
        }
    }
    rows
}

fn campaigns() -> String {
    let mut text = "campaign_id,name,campaign_type,start_date,end_date\n".to_owned();
    for (campaign, (name, kind, from, to, _)) in (1..).zip(CAMPAIGNS) {
        text.push_str(&format!("{campaign},{name},{kind},{},{}\n", date(from), date(to)));
    }
    text
}

fn products() -> String {
    let mut text = "product_id,department,brand,purchase_price\n".to_owned();
    let mut product = 0;
    for (department, count, _, least, greatest) in DEPARTMENTS {
        for place in 0..count {
            product += 1;
            let brand = if place % 3 == 1 { "own" } else { "national" };
            let cost = price(least, greatest, place, count) * 7 / 10;
            text.push_str(&format!("{product},{department},{brand},{}\n", cents(cost)));
        }
    }
    text
}

fn transactions(random: &mut Random, exposures: &[(u64, u64)]) -> String {
    let mut text = "household_id,basket_id,bought_on,week,store_format,product_id,quantity,sales_value\n".to_owned();
    let mut basket = 0;
    for household in 1..=LAST_CUSTOMER {
        let habit = 1 + random.below(3) * random.below(3) / 2;
        for week in 1..=WEEKS {
            let reached = exposures.iter().any(|(reached, campaign)| {
                let (from, to) = window(*campaign);
                *reached == household && from / 7 < week && to / 7 + 1 >= week
            });
            // Whoever is in a running campaign comes a little more often.
            let chance = 17 + 6 * habit + if reached { 9 } else { 0 };
            if random.below(100) >= chance {
                continue;
            }
            basket += 1;
            let day = (week - 1) * 7 + random.below(7);
            let format = random.pick(&["market", "market", "market", "city", "city", "drive"]);
            for _line in 0..=random.below(1 + habit) {
                let (product, price) = random.product();
                let quantity = 1 + random.below(3) * random.below(2);
                text.push_str(&format!(
                    "{household},{basket},{},{week},{format},{product},{quantity},{}\n",
                    date(day),
                    cents(price * quantity)
                ));
            }
        }
    }
    text
}

fn redemptions(random: &mut Random, exposures: &[(u64, u64)]) -> String {
    let mut text = "household_id,campaign_id,redeemed_on,discount\n".to_owned();
    for (household, campaign) in exposures.iter().filter(|(household, _)| *household <= LAST_CUSTOMER) {
        let (from, to) = window(*campaign);
        if random.below(100) < 16 + 5 * (campaign % 4) {
            let day = from + random.below(to - from + 1);
            let discount = 50 * (1 + random.below(6));
            text.push_str(&format!("{household},{campaign},{},{}\n", date(day), cents(discount)));
        }
    }
    text
}

fn demographics(random: &mut Random) -> String {
    let mut text = "household_id,age,income,household_size\n".to_owned();
    for household in FIRST_REACHED..=LAST {
        if random.below(100) < 88 {
            let age = random.pick(&["18-34", "18-34", "35-54", "35-54", "35-54", "35-54", "55-74", "55-74", "75+"]);
            let income = random.pick(&["under 40k", "under 40k", "40-80k", "40-80k", "40-80k", "over 80k"]);
            text.push_str(&format!("{household},{age},{income},{}\n", 1 + random.below(5)));
        }
    }
    text
}

fn window(campaign: u64) -> (u64, u64) {
    (1..).zip(CAMPAIGNS).find(|(number, _)| *number == campaign).map_or((0, 0), |(_, (_, _, from, to, _))| (from, to))
}

fn price(least: u64, greatest: u64, place: u64, count: u64) -> u64 {
    least + (greatest - least) * place / count.max(2)
}

/// The date so many days after 2 March 2026; all of them lie before June.
fn date(day: u64) -> String {
    match day {
        0..=29 => format!("2026-03-{:02}", day + 2),
        30..=59 => format!("2026-04-{:02}", day - 29),
        _ => format!("2026-05-{:02}", day - 59),
    }
}

fn cents(amount: u64) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        let place = self.below(words.len() as u64);
        words.iter().zip(0..).find(|(_, at)| *at == place).map_or("", |(word, _)| *word)
    }

    /// A product and its price in cents.
    fn product(&mut self) -> (u64, u64) {
        let mut draw = self.below(DEPARTMENTS.iter().map(|(_, _, often, _, _)| often).sum());
        let mut before = 0;
        for (_, count, often, least, greatest) in DEPARTMENTS {
            if draw < often {
                let place = self.below(count);
                return (before + place + 1, price(least, greatest, place, count));
            }
            draw -= often;
            before += count;
        }
        (1, 99)
    }
}
