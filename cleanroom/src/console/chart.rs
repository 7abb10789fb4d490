//! Charts, as SVG made here: text for whoever does not see them, colours from the stylesheet, no script.

use cleanroom_registry::PeriodSpending;
use maud::{Markup, html};
use time::Date;

use super::page::text;
use super::spending::day_word;
use crate::render::short;

/// Width of a chart in its own units. It is shown about so many pixels wide, on a phone a little less.
const WIDTH: f64 = 480.0;
/// Characters of a label beside a bar.
const LABEL: usize = 15;

/// A number to be drawn, and how far off it may be to either side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Value {
    pub(super) at: f64,
    pub(super) off: Option<f64>,
}

impl Value {
    fn low(self) -> f64 {
        self.at - self.off.unwrap_or(0.0)
    }

    fn high(self) -> f64 {
        self.at + self.off.unwrap_or(0.0)
    }

    fn words(self) -> String {
        match self.off {
            Some(off) => format!("{} ± {}", short(self.at), short(off)),
            None => short(self.at),
        }
    }
}

/// What a chart is of.
pub(super) struct Subject<'a> {
    /// Tells this chart of the page from its others.
    pub(super) id: usize,
    /// The column that is drawn.
    pub(super) name: &'a str,
    /// The column that it is drawn over.
    pub(super) by: &'a str,
    /// Whether there are error bars.
    pub(super) errors: bool,
}

/// Values to a place on a line.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Holds all values, and zero.
    fn with_zero(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let high = if high - low > 0.0 { high } else { low + 1.0 };
        Self { low, high, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round numbers inside, about `wanted` of them.
    fn ticks(&self, wanted: f64) -> Vec<f64> {
        let rough = (self.high - self.low) / wanted;
        let size = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * size).find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let mut ticks = Vec::new();
        let mut tick = (self.low / step).ceil() * step;
        while tick <= self.high + step * 1e-9 && ticks.len() < 20 {
            ticks.push(if tick.abs() < step * 1e-9 { 0.0 } else { tick });
            tick += step;
        }
        ticks
    }
}

/// A length, to a tenth of a unit.
fn n(value: f64) -> String {
    if value.is_finite() { format!("{value:.1}") } else { "0".to_owned() }
}

fn cut(label: &str) -> String {
    let label = text(label);
    if label.chars().count() <= LABEL {
        return label;
    }
    let mut cut: String = label.chars().take(LABEL - 1).collect();
    cut.push('…');
    cut
}

fn figure(
    id: usize,
    kind: &str,
    height: f64,
    title: &str,
    description: &str,
    caption: &str,
    drawing: &Markup,
) -> Markup {
    let (title_id, text_id) = (format!("chart-{id}-title"), format!("chart-{id}-text"));
    html! {
        figure.chart {
            svg class=(kind) role="img" viewBox={ "0 0 " (n(WIDTH)) " " (n(height)) } aria-labelledby={ (title_id) " " (text_id) } {
                title id=(title_id) { (title) }
                desc id=(text_id) { (description) }
                (drawing)
            }
            figcaption { (caption) }
        }
    }
}

fn caption(subject: &Subject<'_>) -> String {
    let (name, by) = (text(subject.name), text(subject.by));
    match subject.errors {
        true => format!("{name} by {by}. The bars show where the exact number lies in 95 of 100 cases."),
        false => format!("{name} by {by}."),
    }
}

/// One bar for each label, lying, so that labels can be read.
pub(super) fn bars(subject: &Subject<'_>, values: &[(String, Value)]) -> Markup {
    const ROW: f64 = 26.0;
    const LEFT: f64 = 142.0;
    const RIGHT: f64 = WIDTH - 64.0;
    let scale = Scale::with_zero(values.iter().flat_map(|(_, value)| [value.low(), value.high()]), LEFT, RIGHT);
    #[expect(clippy::cast_precision_loss, reason = "there are few bars")]
    let row = |place: usize| 8.0 + ROW * place as f64;
    let height = row(values.len()) + 24.0;
    let zero = scale.place(0.0);
    let drawing = html! {
        @for tick in scale.ticks(4.0) {
            line.grid x1=(n(scale.place(tick))) x2=(n(scale.place(tick))) y1="4" y2=(n(height - 20.0)) {}
            text.tick x=(n(scale.place(tick))) y=(n(height - 6.0)) text-anchor="middle" { (short(tick)) }
        }
        @for (place, (label, value)) in values.iter().enumerate() {
            @let (top, middle) = (row(place), row(place) + ROW / 2.0);
            @let (from, to) = (zero.min(scale.place(value.at)), zero.max(scale.place(value.at)));
            text.label x=(n(LEFT - 8.0)) y=(n(middle + 4.0)) text-anchor="end" { (cut(label)) }
            rect.bar x=(n(from)) y=(n(top + 4.0)) width=(n((to - from).max(0.5))) height=(n(ROW - 8.0)) {}
            @if value.off.is_some() { (whisker_lying(scale.place(value.low()), scale.place(value.high()), middle)) }
            text.value x=(n(scale.place(value.high().max(0.0)) + 5.0)) y=(n(middle + 4.0)) { (short(value.at)) }
        }
        line.axis x1=(n(zero)) x2=(n(zero)) y1="4" y2=(n(height - 20.0)) {}
    };
    let words: Vec<String> =
        values.iter().map(|(label, value)| format!("{}: {}", text(label), value.words())).collect();
    let title = format!("{} by {}", text(subject.name), text(subject.by));
    figure(subject.id, "bars", height, &title, &words.join("; "), &caption(subject), &drawing)
}

fn whisker_lying(from: f64, to: f64, at: f64) -> Markup {
    html! {
        line.error x1=(n(from)) x2=(n(to)) y1=(n(at)) y2=(n(at)) {}
        @for end in [from, to] { line.error x1=(n(end)) x2=(n(end)) y1=(n(at - 4.0)) y2=(n(at + 4.0)) {} }
    }
}

/// Values over time. Each has its moment, in days, and what that is called.
pub(super) fn line(subject: &Subject<'_>, values: &[(f64, String, Value)]) -> Markup {
    const HEIGHT: f64 = 240.0;
    const LEFT: f64 = 64.0;
    let y = Scale::with_zero(values.iter().flat_map(|(_, _, value)| [value.low(), value.high()]), HEIGHT - 30.0, 14.0);
    let (first, last) = match (values.first(), values.last()) {
        (Some(first), Some(last)) => (first, last),
        _ => return html! {},
    };
    let x = Scale {
        low: first.0,
        high: if last.0 > first.0 { last.0 } else { first.0 + 1.0 },
        from: LEFT + 8.0,
        to: WIDTH - 16.0,
    };
    let path: Vec<String> =
        values.iter().map(|(at, _, value)| format!("{},{}", n(x.place(*at)), n(y.place(value.at)))).collect();
    let drawing = html! {
        @for tick in y.ticks(4.0) {
            line.grid x1=(n(LEFT)) x2=(n(WIDTH - 8.0)) y1=(n(y.place(tick))) y2=(n(y.place(tick))) {}
            text.tick x=(n(LEFT - 6.0)) y=(n(y.place(tick) + 4.0)) text-anchor="end" { (short(tick)) }
        }
        line.axis x1=(n(LEFT)) x2=(n(WIDTH - 8.0)) y1=(n(y.place(0.0))) y2=(n(y.place(0.0))) {}
        text.tick x=(n(LEFT)) y=(n(HEIGHT - 8.0)) { (text(&first.1)) }
        @if values.len() > 1 { text.tick x=(n(WIDTH - 8.0)) y=(n(HEIGHT - 8.0)) text-anchor="end" { (text(&last.1)) } }
        polyline.line points=(path.join(" ")) {}
        @for (at, _, value) in values {
            @if value.off.is_some() {
                @let (place, low, high) = (x.place(*at), y.place(value.low()), y.place(value.high()));
                line.error x1=(n(place)) x2=(n(place)) y1=(n(low)) y2=(n(high)) {}
                @for end in [low, high] { line.error x1=(n(place - 3.0)) x2=(n(place + 3.0)) y1=(n(end)) y2=(n(end)) {} }
            }
            circle.point cx=(n(x.place(*at))) cy=(n(y.place(value.at))) r="3" {}
        }
    };
    let words: Vec<String> =
        values.iter().map(|(_, label, value)| format!("{}: {}", text(label), value.words())).collect();
    let title = format!("{} over {}", text(subject.name), text(subject.by));
    figure(subject.id, "lines", HEIGHT, &title, &words.join("; "), &caption(subject), &drawing)
}

/// How much of a budget is spent.
pub(super) fn meter(name: &str, spent: f64, limit: f64) -> Markup {
    let share = if limit > 0.0 { (spent / limit).clamp(0.0, 1.0) } else { 1.0 };
    let words = format!("Of epsilon {} of {}, {} is spent", short(limit), text(name), short(spent));
    html! {
        svg.meter role="img" viewBox="0 0 480 14" preserveAspectRatio="none" aria-label=(words) {
            rect.track x="0" y="0" width="480" height="14" {}
            rect.spent.high[share >= 0.8] x="0" y="0" width=(n(share * WIDTH)) height="14" {}
        }
    }
}

/// A budget over the days of its period: what was spent, what may be, and where the pace of the last week leads.
pub(super) fn budget(spending: &PeriodSpending) -> Markup {
    const HEIGHT: f64 = 250.0;
    const LEFT: f64 = 52.0;
    const RIGHT: f64 = WIDTH - 12.0;
    /// A date, with space around it.
    const DATE: f64 = 90.0;
    // A day is drawn from its beginning to its end.
    let end_of = |date: Date| f64::from(date.to_julian_day()) + 1.0;
    let (Some(first), Some(last)) = (spending.days.first(), spending.days.last()) else { return html! {} };
    let today = end_of(spending.today).max(end_of(last.day));
    let (right_date, right) = match spending.ahead.last() {
        Some((date, _)) => (*date, end_of(*date).max(today)),
        None => (spending.today, today),
    };
    let x = Scale { low: end_of(first.day) - 1.0, high: right, from: LEFT, to: RIGHT };
    let highest = spending.ahead.iter().map(|(_, level)| *level).fold(last.so_far, f64::max);
    let y = Scale::with_zero([spending.limit * 1.1, highest * 1.05].into_iter(), HEIGHT - 30.0, 10.0);
    let at = |x_value: f64, level: f64| format!("{},{}", n(x.place(x_value)), n(y.place(level)));
    let mut path = vec![at(x.low, 0.0)];
    let mut level = 0.0;
    for spent in &spending.days {
        path.push(at(end_of(spent.day) - 1.0, level));
        path.push(at(end_of(spent.day), spent.so_far));
        level = spent.so_far;
    }
    path.push(at(today, level));
    let area = format!("{} {}", path.join(" "), at(today, 0.0));
    let ahead: Vec<String> = std::iter::once(at(today, level))
        .chain(spending.ahead.iter().map(|(date, level)| at(end_of(*date), *level)))
        .collect();
    let middle = x.place(today);
    let drawing = html! {
        @for tick in y.ticks(4.0) {
            line.grid x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(y.place(tick))) y2=(n(y.place(tick))) {}
            text.tick x=(n(LEFT - 6.0)) y=(n(y.place(tick) + 4.0)) text-anchor="end" { (short(tick)) }
        }
        polygon.area points=(area) {}
        polyline.line points=(path.join(" ")) {}
        line.limit x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(y.place(spending.limit))) y2=(n(y.place(spending.limit))) {}
        text.label x=(n(LEFT + 6.0)) y=(n(y.place(spending.limit) - 5.0)) { "limit " (short(spending.limit)) }
        @if ahead.len() > 1 { polyline.ahead points=(ahead.join(" ")) {} }
        line.axis x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(y.place(0.0))) y2=(n(y.place(0.0))) {}
        text.tick x=(n(LEFT)) y=(n(HEIGHT - 8.0)) { (day_word(first.day)) }
        @if middle > LEFT + DATE && middle < RIGHT - DATE - 20.0 { text.tick x=(n(middle)) y=(n(HEIGHT - 8.0)) text-anchor="middle" { "today" } }
        @if right_date > first.day { text.tick x=(n(RIGHT)) y=(n(HEIGHT - 8.0)) text-anchor="end" { (day_word(right_date)) } }
    };
    let words = format!(
        "Spent by {}: epsilon {} of {}.{}",
        day_word(spending.today),
        short(level),
        short(spending.limit),
        spending.ahead.last().map_or_else(String::new, |(day, level)| {
            format!(" At the pace of the last seven days, epsilon {} by {}.", short(*level), day_word(*day))
        })
    );
    let caption =
        "Epsilon spent in this period; dashed, where the pace of the last seven days leads before the period ends.";
    figure(0, "budget", HEIGHT, "Budget over time", &words, caption, &drawing)
}

/// The day at the beginning of an ISO 8601 text.
fn day_in(text: &str) -> Option<Date> {
    let mut parts = text.get(..10)?.split('-');
    let year: i32 = parts.next()?.parse().ok()?;
    let month: u8 = parts.next()?.parse().ok()?;
    let day: u8 = parts.next()?.parse().ok()?;
    if parts.next().is_some() {
        return None;
    }
    Date::from_calendar_date(year, time::Month::try_from(month).ok()?, day).ok()
}

/// Days since long ago at which an ISO 8601 date, or date and time, lies.
pub(super) fn days_of(text: &str) -> Option<f64> {
    let day = f64::from(day_in(text)?.to_julian_day());
    let Some(rest) = text.get(10..).filter(|rest| !rest.is_empty()) else { return Some(day) };
    let mut parts = rest.strip_prefix(['T', ' '])?.trim_end_matches('Z').splitn(3, ':');
    let hours: f64 = parts.next()?.parse().ok()?;
    let minutes: f64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().unwrap_or("0").parse().ok()?;
    Some(day + (hours + (minutes + seconds / 60.0) / 60.0) / 24.0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn value(at: f64, off: Option<f64>) -> Value {
        Value { at, off }
    }

    #[test]
    fn bars_have_their_errors_and_words() {
        let subject = Subject { id: 3, name: "n<", by: "town", errors: true };
        let values = [("a&b".to_owned(), value(10.0, Some(2.0))), ("c".to_owned(), value(-5.0, None))];
        let svg = bars(&subject, &values).into_string();
        assert_eq!(svg.matches("class=\"bar\"").count(), 2);
        assert_eq!(svg.matches("class=\"error\"").count(), 3);
        assert!(svg.contains("a&amp;b: 10 ± 2; c: -5") && svg.contains("n&lt; by town"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_is_drawn_out_of_bounds() {
        for values in [vec![], vec![0.0], vec![f64::MAX, f64::MIN], vec![1e-300]] {
            let values: Vec<_> = values.into_iter().map(|at| ("x".to_owned(), value(at, None))).collect();
            let svg = bars(&Subject { id: 1, name: "n", by: "b", errors: false }, &values).into_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        }
    }

    #[test]
    fn times_are_placed_in_order() {
        let days = |text: &str| days_of(text);
        assert!(days("2026-05-04").unwrap() + 1.0 == days("2026-05-05").unwrap());
        assert!((days("2026-05-04T12:00:00").unwrap() - days("2026-05-04").unwrap() - 0.5).abs() < 1e-9);
        for other in ["", "2026-13-01", "2026-05-04x", "grocery", "2026-05-4T", "éééééééééé"] {
            assert_eq!(days(other), None, "{other}");
        }
    }
}
