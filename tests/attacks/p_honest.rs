//! P: honest questions. A checker that refuses these is broken in the other direction.

use std::collections::BTreeSet;

use super::{room, unseen};

#[test]
fn honest_questions_are_answered() {
    let room = room();
    let counts = "SELECT category, COUNT(DISTINCT email_hash) AS users FROM retailer.purchases GROUP BY category";
    let p01 = room.ask("publisher", counts);
    unseen(&p01);
    let shown: BTreeSet<String> =
        ["books", "edge25", "food", "garden", "sport", "toys", "whale"].map(str::to_owned).into();
    assert_eq!(p01.labels(), shown);
    assert_eq!(p01.number("garden", 1), 401.0);
    assert_eq!(p01.number("toys", 1), 401.0);
    assert_eq!(p01.number("edge25", 1), 25.0);
    assert_eq!(p01.number("whale", 1), 30.0);
    assert_eq!(p01.exit, 0);

    let p03 = room.ask(
        "publisher",
        "SELECT i.campaign, COUNT(DISTINCT p.email_hash) AS n, SUM(p.amount) AS s, AVG(p.amount) AS a \
         FROM retailer.purchases p JOIN publisher.impressions i ON p.email_hash=i.email_hash \
         JOIN publisher.users u ON u.email_hash=p.email_hash \
         WHERE u.state IN ('CA','NY') AND p.category <> 'books' GROUP BY i.campaign",
    );
    for (campaign, users) in [("c0", 160.0), ("c1", 160.0), ("c2", 80.0), ("c3", 80.0)] {
        assert_eq!(p03.number(campaign, 1), users);
    }
    assert_eq!(p03.number("c0", 2), 21_882.4);
    assert_eq!(p03.rows().len(), 4);

    let p05 = room.ask(
        "publisher",
        "SELECT COUNT(DISTINCT email_hash) AS n, SUM(amount) AS s FROM retailer.purchases WHERE category = 'garden'",
    );
    assert_eq!(p05.rows()[0][0].as_f64(), Some(401.0));
    assert_eq!(p05.rows()[0][1].as_f64(), Some(87_549.71));

    let p07 = room.ask("publisher", "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY ALL");
    assert_eq!(p07.labels(), shown);
    let ordinal =
        room.ask("publisher", "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY 1");
    assert_eq!(ordinal.labels(), shown);
    assert!(room.verify().status.success());
}

#[test]
fn joins_in_all_their_spellings_give_one_answer() {
    let room = room();
    for sql in [
        "SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash",
        "SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p, publisher.users u WHERE p.email_hash = u.email_hash",
        "SELECT COUNT(DISTINCT email_hash) FROM retailer.purchases JOIN publisher.users USING (email_hash)",
        "SELECT COUNT(DISTINCT email_hash) FROM retailer.purchases WHERE email_hash IN (SELECT email_hash FROM publisher.users)",
        "SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p WHERE EXISTS (SELECT 1 FROM publisher.users u WHERE u.email_hash = p.email_hash)",
        "WITH u AS (SELECT email_hash FROM publisher.users) SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p JOIN u ON p.email_hash = u.email_hash",
        "SELECT COUNT(*) FROM (SELECT DISTINCT p.email_hash FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash) t",
        "SELECT COUNT(*) FROM (SELECT p.email_hash, COUNT(*) AS n FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash GROUP BY p.email_hash) t",
    ] {
        let answer = room.ask("publisher", sql);
        assert_eq!(answer.rows()[0][0].as_f64(), Some(1201.0), "{sql}");
    }
}

#[test]
fn anything_may_be_done_with_what_is_released() {
    let room = room();
    let having = room.ask(
        "publisher",
        "SELECT category, COUNT(DISTINCT email_hash) AS n, SUM(amount) / SUM(SUM(amount)) OVER () AS share \
         FROM retailer.purchases GROUP BY category HAVING COUNT(DISTINCT email_hash) >= 400 ORDER BY n DESC, category LIMIT 3",
    );
    assert_eq!(having.rows().len(), 3);
    assert_eq!(having.rows()[0][0], "garden");
    let ratio = room.ask(
        "publisher",
        "WITH a AS (SELECT COUNT(DISTINCT email_hash) AS n FROM retailer.purchases WHERE category = 'garden'), \
              b AS (SELECT COUNT(DISTINCT email_hash) AS n FROM retailer.purchases) \
         SELECT CAST(a.n AS DOUBLE) / b.n AS share FROM a, b",
    );
    assert_eq!(ratio.rows()[0][0].as_f64(), Some(401.0 / 2002.0));
    let union = room.ask(
        "publisher",
        "SELECT category, COUNT(DISTINCT email_hash) AS n FROM retailer.purchases GROUP BY category \
         UNION ALL SELECT state, COUNT(DISTINCT email_hash) FROM publisher.users GROUP BY state ORDER BY 1",
    );
    assert!(union.labels().contains("TX") && union.labels().contains("garden"));
    let scalar = room.ask(
        "publisher",
        "SELECT category, SUM(amount) / (SELECT SUM(amount) FROM retailer.purchases) AS share \
         FROM retailer.purchases GROUP BY category",
    );
    assert_eq!(scalar.labels().len(), 7);
    let cases = room.ask(
        "publisher",
        "SELECT COUNT(DISTINCT CASE WHEN category = 'garden' THEN email_hash END) AS a, \
                SUM(CASE WHEN category = 'garden' THEN amount ELSE 0 END) AS b, \
                COUNT(*) FILTER (WHERE category = 'garden') AS c, \
                SUM(CASE WHEN category = 'garden' THEN 1 ELSE 0 END) AS d FROM retailer.purchases",
    );
    let row = &cases.rows()[0];
    assert_eq!((row[0].as_f64(), row[1].as_f64()), (Some(401.0), Some(87_549.71)));
    assert_eq!(row[2].as_f64(), row[3].as_f64());
}

#[test]
fn totals_stand_beside_their_parts() {
    let room = room();
    let rollup = room.ask(
        "publisher",
        "SELECT category, GROUPING(category) AS whole, COUNT(DISTINCT email_hash) AS n, SUM(amount) AS s \
         FROM retailer.purchases WHERE category IN ('garden', 'toys', 'books') GROUP BY ROLLUP(category) ORDER BY whole, category",
    );
    unseen(&rollup);
    assert_eq!(rollup.rows().len(), 4);
    assert_eq!(rollup.number("garden", 2), 401.0);
    assert_eq!(rollup.number("garden", 3), 87_549.71);
    let total = &rollup.rows()[3];
    assert_eq!((total[0].is_null(), total[1].as_f64()), (true, Some(1.0)));
    let parts: f64 = rollup.rows()[..3].iter().map(|row| row[3].as_f64().unwrap()).sum();
    assert!((total[3].as_f64().unwrap() - parts).abs() < 0.005);

    let grouping = "COUNT(DISTINCT email_hash) AS n FROM publisher.users WHERE state IN ('CA', 'NY', 'TX') AND age_band <> '90+' GROUP BY";
    let cube = room.ask(
        "publisher",
        &format!("SELECT state, age_band, GROUPING(state), GROUPING(age_band), {grouping} CUBE(state, age_band)"),
    );
    assert_eq!(cube.rows().len(), 4 * 5);
    let sets = room.ask(
        "publisher",
        &format!("SELECT state, age_band, {grouping} GROUPING SETS ((age_band), (state, age_band), (state))"),
    );
    assert_eq!(sets.rows().len(), 4 + 12 + 3);
    // The same set says the same, whatever stands beside it.
    for row in sets.rows() {
        let same = |other: &&Vec<serde_json::Value>| other[..2] == row[..2];
        assert_eq!(cube.rows().iter().find(same).unwrap()[4], row[2]);
    }
    let margins =
        room.ask("publisher", &format!("SELECT state, age_band, {grouping} GROUPING SETS ((state), (age_band))"));
    assert_eq!(margins.rows().len(), 3 + 4);
    let mixed = room.ask("publisher", &format!("SELECT state, age_band, {grouping} state, ROLLUP(age_band)"));
    assert_eq!(mixed.rows().len(), 12 + 3);
    let joined = room.ask(
        "publisher",
        "SELECT i.campaign, i.device, GROUPING(i.device) AS g, COUNT(DISTINCT p.email_hash), AVG(p.amount) \
         FROM retailer.purchases p JOIN publisher.impressions i ON p.email_hash = i.email_hash \
         WHERE p.category <> 'garden' GROUP BY ROLLUP(i.campaign, i.device) HAVING GROUPING(i.campaign) = 0 ORDER BY 1, 2",
    );
    unseen(&joined);
    assert_eq!(joined.rows().len(), 4 * 4, "{}", joined.json);
    let plain = room.ask(
        "publisher",
        "SELECT i.campaign, COUNT(DISTINCT p.email_hash), AVG(p.amount) FROM retailer.purchases p \
         JOIN publisher.impressions i ON p.email_hash = i.email_hash WHERE p.category <> 'garden' GROUP BY i.campaign",
    );
    for row in joined.rows().iter().filter(|row| row[2].as_f64() == Some(1.0)) {
        let campaign = row[0].as_str().unwrap();
        assert_eq!(row[3].as_f64(), Some(plain.number(campaign, 1)));
        assert_eq!(row[4].as_f64(), Some(plain.number(campaign, 2)));
    }
}
