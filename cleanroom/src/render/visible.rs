//! Text that may be shown on a terminal, or on a page.

/// Text with its control characters made visible: a value from someone's data may not steer a terminal, nor hide
/// in what is read. Joiners stay: scripts need them.
pub(crate) fn visible(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.chars().any(steers) {
        return text.to_owned();
    }
    text.chars().map(|c| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_steer_the_terminal() {
        assert_eq!(visible("plain é"), "plain é");
        assert_eq!(visible("\u{645}\u{6cc}\u{200c}\u{62e}"), "\u{645}\u{6cc}\u{200c}\u{62e}");
        assert_eq!(visible("a\u{200b}\u{2028}\u{feff}"), "a\\u{200b}\\u{2028}\\u{feff}");
        assert_eq!(visible("a\u{1b}[2J\n\u{202e}"), "a\\u{1b}[2J\\u{a}\\u{202e}");
    }
}
