//! The page on the keys of a policy names every key and every word that the parser knows.

use crate::model::{AnalystTables, Grain, JoinKind, MeasureFunction, Mechanism, Refresh, Require, SmallGroups, Use};
use crate::{column, policy, release};

const PAGE: &str = include_str!("../../../docs/policy.md");

#[test]
fn every_key_and_word_is_on_the_page() {
    let keys = [
        policy::KEYS,
        policy::JOIN_KEYS,
        policy::ACCESS_KEYS,
        column::KEYS,
        release::RELEASE_KEYS,
        release::NOISE_KEYS,
    ];
    for key in keys.concat() {
        assert!(PAGE.contains(&format!("\n| `{key}` | ")), "{key} has no row");
    }
    fn words<T>(words: &[(&'static str, T)]) -> Vec<&'static str> {
        words.iter().map(|(word, _value)| *word).collect()
    }
    let all = [
        release::BUDGET_KEYS.to_vec(),
        words(Use::WORDS),
        words(Grain::WORDS),
        words(MeasureFunction::WORDS),
        words(Require::WORDS),
        words(JoinKind::WORDS),
        words(AnalystTables::WORDS),
        words(SmallGroups::WORDS),
        words(Mechanism::WORDS),
        words(Refresh::WORDS),
    ];
    for word in all.concat() {
        assert!(PAGE.contains(&format!("`{word}`")), "{word} is not named");
    }
}

#[test]
fn the_page_has_no_other_keys() {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let known = [
        policy::KEYS,
        policy::JOIN_KEYS,
        policy::ACCESS_KEYS,
        column::KEYS,
        release::RELEASE_KEYS,
        release::NOISE_KEYS,
    ]
    .concat();
    for key in rows {
        assert!(known.contains(&key), "{key} is no key");
    }
}
