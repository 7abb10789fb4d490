//! What each refusal means to the person who got it, and what to do: the page `docs/refusals.md` is made of it.

use crate::refusal::Code;

/// A refusal explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// Why such a question is not answered.
    pub meaning: &'static str,
    /// What to do about it.
    pub action: &'static str,
    /// A statement, or the like, that gets this code; `None` where no statement alone does.
    pub example: Option<&'static str>,
}

const fn guide(meaning: &'static str, action: &'static str, example: Option<&'static str>) -> Guide {
    Guide { meaning, action, example }
}

impl Code {
    /// What it means, and what to do.
    pub fn guide(self) -> Guide {
        match self {
            Code::NotSql => guide(
                "The text cannot be read as SQL.",
                "Correct the text at the place that is shown: often a quote, a bracket or a comma.",
                Some("SELECT COUNT(* FROM shop.sales"),
            ),
            Code::NotOneSelect => guide(
                "There is no statement, more than one, or one that is not a SELECT. Nothing is ever changed by a question.",
                "Ask with one SELECT, which may begin with WITH.",
                Some("DROP TABLE shop.sales"),
            ),
            Code::Syntax => guide(
                "The clause is valid SQL, but not among those that are supported. What is not supported is refused, never passed over.",
                "Write it another way, with joins, subqueries, GROUP BY and CASE.",
                Some("SELECT COUNT(*) FROM shop.sales TABLESAMPLE (10)"),
            ),
            Code::TooLarge => guide(
                "The statement is too long, too deep, or grows too large once its parts are put in place.",
                "Ask in several questions; name a table at most eight times, and join it with itself once. Cut long texts with `left` before putting them together.",
                None,
            ),
            Code::UnknownName => guide(
                "No such table or column can be named. A column that its policy does not list is not there, whatever the owner stores.",
                "Look at the tables and columns that you may name: GET /v1/rooms/ROOM/catalog.",
                Some("SELECT COUNT(DISTINCT email), phone FROM shop.sales GROUP BY phone"),
            ),
            Code::Malformed => {
                guide("The request itself cannot be read.", "Correct the request's body as the message says.", None)
            }
            Code::DuplicateOutput => guide(
                "Two columns of the result would have the same name.",
                "Give each a name of its own with AS.",
                Some("SELECT COUNT(*) AS n, SUM(spent) AS n FROM shop.sales"),
            ),
            Code::Invalid => guide(
                "Types or arguments do not fit together.",
                "Check the columns' types; cast where they differ.",
                Some("SELECT COUNT(*) FROM shop.sales WHERE card + 1"),
            ),
            Code::NotAvailable => guide(
                "This version does not do it, or the table has no data yet.",
                "Write it another way, or ask the owner to put the data in.",
                None,
            ),
            Code::RowsWouldLeave => guide(
                "The result would hold rows. Only aggregates over groups of enough people leave.",
                "Aggregate: group by dimensions and count keys, or sum measures. Anything may be done with that result.",
                Some("SELECT card, spent FROM shop.sales"),
            ),
            Code::GroupedByKey => guide(
                "The result would hold one row for each person.",
                "Group by a dimension, or aggregate once more over the result for each person.",
                Some("SELECT email, COUNT(*) FROM shop.sales GROUP BY email"),
            ),
            Code::KeyMisused => guide(
                "A key identifies a person, so it stands only in joins of keys, in COUNT(DISTINCT key), and in GROUP BY below a further aggregate.",
                "Count it, or leave it out.",
                Some("SELECT upper(email), COUNT(*) FROM shop.sales GROUP BY upper(email)"),
            ),
            Code::KeyCompared => guide(
                "A key compared with a value would ask for one person.",
                "Choose people by what they have in common: filter on columns that are granted as filters.",
                Some("SELECT COUNT(*) FROM shop.sales WHERE email = 'ann@example.org'"),
            ),
            Code::NotADimension => guide(
                "The policy does not let results be broken down by this column.",
                "Group by another column, or ask the owner to grant `dimension`.",
                Some("SELECT spent, COUNT(*) FROM shop.sales GROUP BY spent"),
            ),
            Code::NotAFilter => guide(
                "The policy does not let rows be chosen by this column.",
                "Leave the condition out, or ask the owner to grant `filter`.",
                Some("SELECT COUNT(*) FROM shop.sales WHERE spent > 100"),
            ),
            Code::Aggregate => guide(
                "The aggregate would show a single value (the least, the greatest, the middle, any), or cannot be protected.",
                "COUNT, COUNT(DISTINCT key), SUM and AVG are answered over protected rows; any aggregate over results.",
                Some("SELECT MAX(spent) FROM shop.sales"),
            ),
            Code::NotAMeasure => guide(
                "Something is summed or counted that is not a granted measure, or is changed so that the sum could tell one value.",
                "Use the measure itself, times a constant, or CASE WHEN condition THEN measure END.",
                Some("SELECT SUM(spent * spent) FROM shop.sales"),
            ),
            Code::MeasureFunction => guide(
                "The policy grants the measure, but not this aggregate of it.",
                "Use one that is granted: they are listed with the column.",
                Some("SELECT AVG(spent) FROM shop.sales"),
            ),
            Code::CountNotGranted => guide(
                "The policy of a table does not let its people or rows be counted.",
                "Sum a measure, or ask the owner to grant `count` on the key.",
                Some("SELECT COUNT(*) FROM shop.sales"),
            ),
            Code::LiteralNotAllowed => guide(
                "The policy restricts the constants that this column may be compared with, in whatever form they come.",
                "Compare it with a constant that the policy lists, or with another column; or ask the owner to widen `literals`.",
                None,
            ),
            Code::NotAKeyJoin => guide(
                "Protected tables are joined by the equality of their keys and in no other way: anything else pairs people who have nothing to do with each other.",
                "Put the equality of the keys into ON, with AND before any further condition.",
                Some("SELECT COUNT(*) FROM shop.sales s JOIN paper.readers r ON s.card = r.card"),
            ),
            Code::JoinType => guide(
                "This kind of join tells who is not in the other table, which an owner has to allow.",
                "Use an inner join or IN (SELECT ...), or ask the owners to list the type.",
                Some("SELECT COUNT(*) FROM shop.sales s LEFT JOIN paper.readers r ON s.email = r.email"),
            ),
            Code::JoinPartner => guide(
                "The owner of one table does not let it be joined with the other.",
                "Join other tables, or ask that owner.",
                None,
            ),
            Code::JoinRequired => guide(
                "The table is answered only in a join.",
                "Join it, on the key, with what the message names.",
                None,
            ),
            Code::ReferenceJoin => guide(
                "The column may not be used to join with a reference table.",
                "Join on columns that are granted as `join` or `dimension` on both sides.",
                None,
            ),
            Code::NullSafeKey => guide(
                "IS NOT DISTINCT FROM would join the rows of nobody with each other.",
                "Join with =.",
                Some("SELECT COUNT(*) FROM shop.sales s JOIN paper.readers r ON s.email IS NOT DISTINCT FROM r.email"),
            ),
            Code::OwnMeasure => guide(
                "Rows and amounts of your own table, joined with another owner's, could weigh single people.",
                "Use your own columns as groups or conditions, and sum your own amounts in a question of their own.",
                None,
            ),
            Code::FanOut => guide(
                "The reference table has several rows for one value, so rows would count several times.",
                "Join it on a column that is unique in it, or count distinct keys.",
                None,
            ),
            Code::Function => guide(
                "The function or operator is not listed for protected rows, or its arguments could make it fail on some row: the failure would tell of the row.",
                "See the page on functions; apply others to the aggregated result.",
                Some("SELECT COUNT(*) FROM shop.sales WHERE random() < 0.5"),
            ),
            Code::Clause => guide(
                "The clause looks at rows in an order or by position, and so at single people.",
                "Aggregate first; order, limit and number the result.",
                Some("SELECT card FROM shop.sales ORDER BY spent DESC LIMIT 1"),
            ),
            Code::ReleasedSteers => guide(
                "A result chooses rows in the same statement, so the answer would tell more than the result.",
                "Ask first, and write the value you got into the next question.",
                Some("SELECT COUNT(*) FROM shop.sales WHERE card IN (SELECT card FROM shop.sales GROUP BY card)"),
            ),
            Code::Subquery => guide(
                "The subquery cannot be made a join.",
                "Use it as a condition of its own, joined with AND, or join its table.",
                None,
            ),
            Code::TemplateRequired => guide(
                "The table answers approved templates only, each with the content that its owner approved.",
                "Ask through one of the templates that the policy lists; after a template changed, ask the owner to approve it anew.",
                None,
            ),
            Code::NoiseMissing => guide(
                "A policy asks for noise, so every number of the statement needs it, and something in the statement has no bound for it: a table whose policy says nothing of noise, a value without bounds, groups that only a chance of error could tell, or a second identity space.",
                "Leave it out, or ask its owner for what is missing: a `noise` section, `bounds`, `values` of a group column, or a `delta`.",
                None,
            ),
            Code::NotSigned => guide(
                "A table's owner has had a key in the room since its policy was put, and has not signed the policy: anyone could have put it.",
                "Let the owner sign it: `cleanroom policy sign POLICY --room ROOM --key FILE`, and put it again.",
                None,
            ),
            Code::Exhausted => guide(
                "What the question would tell of any one unit, together with what was told before, is more than an owner allows. Nothing was read, and nothing is charged.",
                "See `cleanroom budget` for what is left and when it is renewed; ask for less with `--epsilon`, or ask a question again that was answered: that is free.",
                None,
            ),
            Code::TooMuch => guide(
                "The `epsilon` asked for is more than a policy lets one question spend.",
                "Ask for at most the `noise.epsilon` of the policy that is named.",
                None,
            ),
            Code::CellLimit => guide(
                "As many numbers of this version of a table's data were released as its policy allows, to all analysts together.",
                "Wait for new data, or ask the owner to raise `release.max_cells`.",
                None,
            ),
            Code::NotAMember => guide(
                "You are not a partner of the room who may ask.",
                "Check the token and the room's name; ask the operator for a place in the room.",
                None,
            ),
            Code::NotAnAnalyst => guide(
                "The owner does not list you among those who may ask of the table.",
                "Ask the owner to add you to `access.analysts`.",
                None,
            ),
            Code::NotAReceiver => guide(
                "The owner does not let the partner be given results.",
                "Name another receiver, or ask the owner to add it to `access.receivers`.",
                None,
            ),
            Code::DailyLimit => guide(
                "As many questions were asked of the table today as its owner allows.",
                "Ask again tomorrow (UTC).",
                None,
            ),
            Code::TimeLimit => guide(
                "The question took longer than the server allows.",
                "Ask for fewer tables or groups at once, or ask the operator for more time.",
                None,
            ),
            Code::SizeLimit => guide(
                "The question needs more memory, or yields a larger result, than the server allows.",
                "Ask for fewer groups at once.",
                None,
            ),
            Code::Busy => guide(
                "The server has as many questions as it can take, or a policy or template changed meanwhile.",
                "Ask again in a moment.",
                None,
            ),
            Code::Cancelled => guide(
                "Whoever asked cancelled the question before its answer was told. One that ran counts as asked.",
                "Ask again.",
                None,
            ),
            Code::Unwitnessed => guide(
                "The room is strict: an answer is told once enough witnesses have cosigned the log over its record. The question is answered and charged, its answer is kept, and too few witnesses answer now. Or the witnesses know another log of the room than the server has, which then answers nothing in it.",
                "Look the query up again by its id, which costs nothing; where it stays so, tell the operator.",
                None,
            ),
            Code::Internal => guide(
                "Something failed that is not about your question.",
                "Give the operator the number of the incident.",
                None,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use std::fmt::Write;

    use crate::pages;
    use crate::parse::ParsedQuery;
    use crate::refusal::Code;

    /// The page on refusals says what the code says. `UPDATE_DOCS=1` writes it.
    #[test]
    fn the_page_on_refusals_is_up_to_date() {
        let mut page = "\
# Refusals

A refusal depends on the question, the policies and the tables' columns alone, never on a row of another partner's. Of
the asker's own tables it matters whether they hold one row for each unit (CR2207). Codes are stable. Where a statement
close to the one refused is answered, it stands at the end of the suggestion; it was decided on like any other.
The numbers in brackets are the exit code of the command line and the HTTP status.
"
        .to_owned();
        for code in Code::ALL {
            let guide = code.guide();
            write!(page, "\n## {}: {} ({}, {})\n\n", code.as_str(), code.title(), code.exit_code(), code.http_status())
                .unwrap();
            write!(page, "{}\n\n*What to do.* {}\n", guide.meaning, guide.action).unwrap();
            if let Some(example) = guide.example {
                write!(page, "\n```sql\n{example}\n```\n").unwrap();
            }
        }
        pages::up_to_date("refusals.md", &page);
    }

    /// Examples that are not to be read are those of the codes for that.
    #[test]
    fn examples_are_sql_but_where_that_is_the_point() {
        for code in Code::ALL {
            let Some(example) = code.guide().example else { continue };
            match ParsedQuery::parse(example) {
                Ok(_query) => {}
                Err(refusal) => assert_eq!(refusal.code(), *code, "{example}"),
            }
        }
    }
}
