//! `cleanroom policy new`

use std::path::PathBuf;

use arrow::datatypes::DataType;
use clap::Args;
use cleanroom_policy::{ColumnName, PartnerName, SpaceName, TableName, parse_policy};

use super::rows::{OwnRows, quoted};
use crate::command::block_on;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::Sink;

/// Most values of a dimension; a column with more is left hidden.
const DIMENSION: f64 = 50.0;
/// The same of a column that is a number by its type and a label by its name.
const LABELS: f64 = 200.0;
/// Most values that `--values` writes down.
const DOMAIN: f64 = 20.0;
/// Days that are not worth a coarser grain.
const DAYS: f64 = 31.0;

#[derive(Debug, Args)]
pub(in crate::command) struct NewArgs {
    /// The table's rows: Parquet, CSV or JSON lines
    #[arg(value_name = "DATA")]
    data: PathBuf,

    /// Name of the table [default: `owner.` and the file's name]
    #[arg(long, value_name = "OWNER.TABLE")]
    table: Option<String>,

    /// The column that says whom a row is about, and its identity space [default: guessed by the name]
    #[arg(long, value_name = "COLUMN=SPACE", conflicts_with = "public")]
    unit: Option<String>,

    /// A reference table: its rows are about nobody
    #[arg(long)]
    public: bool,

    /// Who is to ask
    #[arg(long, value_name = "PARTNER", default_value = "analyst")]
    analyst: String,

    /// Writes the values of small dimensions down as public domains: they become known to everybody who reads the policy
    #[arg(long)]
    values: bool,

    /// Writes the policy to a file, which must not be there yet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A column and what was found of it.
struct Column {
    name: String,
    data_type: DataType,
    /// Rows with a value.
    filled: f64,
    distinct: f64,
}

/// What a column is proposed for.
enum Role {
    Unit,
    Key,
    Dimension,
    Time {
        days: f64,
    },
    Measure,
    /// The reason.
    Hidden(&'static str),
}

pub(super) fn run(args: &NewArgs) -> Result<Exit> {
    if let Some(path) = args.output.as_deref().filter(|path| path.exists()) {
        return Err(Fault::usage(
            format!("`{}` is there already", path.display()),
            "name another file, or move this one away: a policy is not overwritten",
        ));
    }
    let table = table(args)?;
    let analyst = PartnerName::new(&args.analyst)
        .map_err(|error| Fault::usage(format!("--analyst: {error}"), "name a partner of the room"))?;
    let text = block_on(async {
        let own = OwnRows::open(&args.data, None).await?;
        let scaffold = Scaffold::look(args, &own, table, analyst).await?;
        let text = scaffold.text(&own).await?;
        parse_policy("scaffold", &text).map_err(|errors| {
            let what = errors.first().map(ToString::to_string).unwrap_or_default();
            Fault::failure(format!("the policy that was written does not parse: {what}"), "report a defect")
        })?;
        Ok(text)
    })?;
    Sink::new(args.output.clone()).write(text.as_bytes())?;
    Ok(Exit::Done)
}

fn table(args: &NewArgs) -> Result<TableName> {
    if let Some(name) = &args.table {
        return TableName::parse(name)
            .map_err(|error| Fault::usage(format!("--table: {error}"), "write it as `--table retailer.purchases`"));
    }
    let stem = args.data.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let slug: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    TableName::parse(&format!("owner.{slug}")).map_err(|_| {
        Fault::usage(
            format!("the name of `{}` makes no table's name", args.data.display()),
            "add `--table OWNER.TABLE`",
        )
    })
}

struct Scaffold {
    table: TableName,
    analyst: PartnerName,
    file: String,
    values: bool,
    unit: Option<(String, SpaceName)>,
    rows: f64,
    columns: Vec<Column>,
    notes: Vec<String>,
}

impl Scaffold {
    async fn look(args: &NewArgs, own: &OwnRows, table: TableName, analyst: PartnerName) -> Result<Self> {
        let [rows] = own.row("SELECT COUNT(*) FROM file").await?;
        let mut columns = Vec::new();
        for (name, data_type) in own.columns() {
            let column = quoted(&name);
            let [filled, distinct] =
                own.row(&format!("SELECT COUNT({column}), COUNT(DISTINCT {column}) FROM file")).await?;
            columns.push(Column { name, data_type, filled, distinct });
        }
        let unit = if args.public { None } else { Some(unit(args, &columns)?) };
        let file = args.data.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let notes = own.notes().to_vec();
        Ok(Self { table, analyst, file, values: args.values, unit, rows, columns, notes })
    }

    /// The document.
    async fn text(&self, own: &OwnRows) -> Result<String> {
        let mut text = format!(
            "# A first policy for {}, made from its columns. Read every line before you use it: the program\n\
             # knows the data, and you know whom it is about. Then: cleanroom policy check, explain and attack.\n\
             apiVersion: cleanroom/v1\nkind: Policy\ntable: {}\nversion: 1\n",
            one_line(&self.file),
            self.table
        );
        match &self.unit {
            Some((column, space)) => text.push_str(&format!(
                "# Whom a row is about. All rows of one of them are protected together; the space is what the other\n\
                 # partners call the same identities.\nunit: {{column: {}, space: {space}}}\n",
                yaml(column)
            )),
            None => text.push_str("# About nobody: nothing in this table is protected.\npublic: true\n"),
        }
        text.push_str("# What is not listed is hidden.");
        if self.unit.is_some() && self.columns.iter().any(|column| matches!(self.role(column), Role::Measure)) {
            text.push_str(
                " The bounds are guesses from the data, with room to spare. Set them to what one\n\
                 # row can be, from what you know: bounds that follow the data tell of it.",
            );
        }
        text.push_str("\ncolumns:\n");
        let mut hidden = Vec::new();
        for column in &self.columns {
            match self.role(column) {
                Role::Hidden(why) => hidden.push(format!("#   {}: {why}\n", one_line(&column.name))),
                role => text.push_str(&self.line(own, column, &role).await?),
            }
        }
        hidden.extend(self.notes.iter().map(|note| format!("#   {}\n", one_line(note))));
        if !hidden.is_empty() {
            text.push_str("# Left hidden:\n");
            text.extend(hidden);
        }
        if self.unit.is_some() {
            text.push_str(
                "# rows: \"consent = 'yes'\"      # a condition that every row must meet, on any column of the file\n\
                 joins: {require: none, types: [inner, semi]}   # `with: [partner.table]` limits what it is joined with\n\
                 release:\n  min_units: 25             # nothing is shown about fewer\n",
            );
            text.push_str(&self.noise(own).await?);
        }
        text.push_str(&format!("access:\n  analysts: [{0}]\n  receivers: [{0}]\n", self.analyst));
        Ok(text)
    }

    fn role(&self, column: &Column) -> Role {
        if self.unit.as_ref().is_some_and(|(unit, _space)| *unit == column.name) {
            return Role::Unit;
        }
        if ColumnName::new(&column.name).is_err() {
            return Role::Hidden("its name cannot stand in a policy");
        }
        if column.filled == 0.0 {
            return Role::Hidden("it has no value");
        }
        let name = column.name.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.split(['_', '-', ' ', '.']).any(|part| part == *word));
        if has(&["id", "key", "code", "sku", "upc", "ean", "gtin"]) && column.distinct > DIMENSION {
            return if self.unit.is_none() || column.distinct * 2.0 < self.rows {
                Role::Key
            } else {
                Role::Hidden("nearly every row has a value of its own")
            };
        }
        if has(&[
            "lat",
            "latitude",
            "lon",
            "lng",
            "longitude",
            "zip",
            "postcode",
            "ip",
            "name",
            "address",
            "birthday",
            "dob",
        ]) {
            return Role::Hidden("it singles people out; offer a coarser column");
        }
        let few = column.distinct <= DIMENSION;
        match &column.data_type {
            DataType::Boolean => Role::Dimension,
            DataType::Date32 | DataType::Timestamp(..) => Role::Time { days: column.distinct },
            DataType::Float64 | DataType::Decimal128(..) => Role::Measure,
            DataType::Int64 => {
                let amount = [
                    "quantity", "qty", "count", "amount", "price", "cost", "value", "total", "discount", "duration",
                    "score", "sum",
                ];
                let label = ["year", "quarter", "month", "week", "day", "weekday", "hour", "age"];
                if has(&label) && column.distinct <= LABELS {
                    Role::Dimension
                } else if has(&amount) || !few {
                    Role::Measure
                } else {
                    Role::Dimension
                }
            }
            _ if few => Role::Dimension,
            _ if self.unit.is_none() => Role::Dimension,
            _ if column.distinct * 2.0 >= column.filled => Role::Hidden("nearly every row has a value of its own"),
            _ => Role::Hidden("it has many values; offer a coarser column, or `{use: [join]}` to look them up"),
        }
    }

    async fn line(&self, own: &OwnRows, column: &Column, role: &Role) -> Result<String> {
        let name = yaml(&column.name);
        Ok(match role {
            Role::Unit => format!("  {name}: {{use: [join, count]}}   # matched and counted, never shown\n"),
            Role::Key => format!("  {name}: {{use: [join]}}   # looks rows up in a reference table\n"),
            Role::Dimension => {
                let values = match self.domain(own, column).await? {
                    Some(values) => format!(", values: [{}]", values.join(", ")),
                    None => String::new(),
                };
                format!("  {name}: {{use: [dimension, filter]{values}}}\n")
            }
            Role::Time { days } => {
                let grain = if *days <= DAYS { "day" } else { "week" };
                format!("  {name}: {{use: [dimension, filter], grain: {grain}}}   # seen no finer; coarser is safer\n")
            }
            Role::Measure if self.unit.is_none() => format!("  {name}: {{use: [measure]}}\n"),
            Role::Measure => {
                let (low, high, step) = self.bounds(own, column).await?;
                format!(
                    "  {name}: {{use: [measure], functions: [sum, avg, count], bounds: [{low}, {high}], step: {step}}}   # bounds: a guess\n"
                )
            }
            Role::Hidden(_why) => String::new(),
        })
    }

    /// The values of a small dimension, where the owner wants them known.
    async fn domain(&self, own: &OwnRows, column: &Column) -> Result<Option<Vec<String>>> {
        if !self.values || column.distinct > DOMAIN {
            return Ok(None);
        }
        let name = quoted(&column.name);
        let sql =
            format!("SELECT DISTINCT CAST({name} AS VARCHAR) AS value FROM file WHERE {name} IS NOT NULL ORDER BY 1");
        let rows = own.texts(&sql).await?;
        Ok(Some(rows.into_iter().flatten().flatten().map(|value| json_text(&value)).collect()))
    }

    /// Bounds with room to spare around all but the outermost values, and a step.
    async fn bounds(&self, own: &OwnRows, column: &Column) -> Result<(f64, f64, &'static str)> {
        let name = format!("CAST({} AS DOUBLE)", quoted(&column.name));
        let at = |share: f64| (share * (column.filled - 1.0)).round();
        let quantile = |offset: f64| {
            format!("SELECT {name} AS v FROM file WHERE {name} IS NOT NULL ORDER BY v LIMIT 1 OFFSET {offset}")
        };
        let [least] = own.row(&quantile(at(0.01))).await?;
        let [greatest] = own.row(&quantile(at(0.99))).await?;
        let low = if least < 0.0 { -generous(-2.0 * least) } else { 0.0 };
        let high = if greatest > 0.0 { generous(2.0 * greatest) } else { 0.0 };
        let high = if high > low { high } else { low + 1.0 };
        let step = match column.data_type {
            DataType::Int64 => "1",
            // Values far below one would all be rounded to nothing.
            _ if high - low < 1.0 => "0.000001",
            _ => "0.01",
        };
        Ok((low, high, step))
    }

    async fn noise(&self, own: &OwnRows) -> Result<String> {
        let Some((unit, _space)) = &self.unit else {
            return Ok(String::new());
        };
        let unit = quoted(unit);
        let counts = format!("SELECT COUNT(*) AS n FROM file WHERE {unit} IS NOT NULL GROUP BY {unit}");
        let [units] = own.row(&format!("SELECT COUNT(*) FROM ({counts}) AS c")).await?;
        let [most] = if units > 0.0 {
            let offset = (0.99 * (units - 1.0)).round();
            own.row(&format!("SELECT n FROM ({counts}) AS c ORDER BY n LIMIT 1 OFFSET {offset}")).await?
        } else {
            [1.0]
        };
        let rows = generous(most.max(1.0)).min(f64::from(u32::MAX));
        let mut text = String::from(
            "# Floors alone do not stop somebody who combines many answers; noise does. See cleanroom policy attack.\n",
        );
        text.push_str(&format!(
            "noise:\n  mechanism: gaussian\n  epsilon: 1.0              # most for one question; smaller is noisier and safer\n  \
             delta: 1e-9\n  groups_per_unit: 4        # of how many groups one unit is part\n  \
             rows_per_unit: {rows}        # rows of one unit that count in a group; a guess from the data\n  \
             budget: {{epsilon: 20, delta: 1e-6, refresh: never}}   # all that may ever be spent\n"
        ));
        Ok(text)
    }
}

fn unit(args: &NewArgs, columns: &[Column]) -> Result<(String, SpaceName)> {
    let can = |column: &&Column| matches!(column.data_type, DataType::Utf8 | DataType::Int64);
    if let Some(given) = &args.unit {
        let (column, space) = given.split_once('=').ok_or_else(|| {
            Fault::usage("`--unit` is not `COLUMN=SPACE`", "write it as `--unit household_id=household`")
        })?;
        let space =
            SpaceName::new(space).map_err(|error| Fault::usage(format!("--unit: {error}"), "name the space"))?;
        return match columns.iter().filter(can).find(|known| known.name == column) {
            Some(column) => Ok((column.name.clone(), space)),
            None => Err(Fault::usage(
                format!("`{}` has no column `{column}` of text or integers", args.data.display()),
                "name the column that says whom a row is about",
            )),
        };
    }
    // From the surest to the vaguest: the word in the column's name, and the space that goes with it.
    const WORDS: &[(&str, &str)] = &[
        ("email", "email"),
        ("mail", "email"),
        ("phone", "phone"),
        ("mobile", "phone"),
        ("household", "household"),
        ("customer", "customer"),
        ("person", "person"),
        ("patient", "patient"),
        ("member", "member"),
        ("user", "user"),
        ("subscriber", "subscriber"),
        ("client", "client"),
        ("reader", "reader"),
        ("visitor", "visitor"),
        ("card", "card"),
        ("account", "account"),
        ("device", "device"),
    ];
    for (word, space) in WORDS {
        let named = |column: &&Column| {
            let name = column.name.to_ascii_lowercase();
            // `device_type` is about a device, and names none.
            let rest: Vec<&str> = name.split(['_', '-', ' ', '.']).filter(|part| part != word).collect();
            rest.len() < name.split(['_', '-', ' ', '.']).count()
                && rest.iter().all(|part| {
                    matches!(*part, "id" | "key" | "number" | "no" | "hash" | "token" | "address" | "hashed" | "sha256")
                })
        };
        if let Some(column) = columns.iter().filter(can).find(named) {
            let space = SpaceName::new(space).map_err(|error| Fault::failure(error, ""))?;
            return Ok((column.name.clone(), space));
        }
    }
    Err(Fault::usage(
        format!("no column of `{}` is named like somebody's identity", args.data.display()),
        "say whom a row is about with `--unit COLUMN=SPACE`, or `--public` if about nobody",
    ))
}

/// The next of 1, 2 and 5 times a power of ten that is not below the number, which is above zero.
fn generous(number: f64) -> f64 {
    let power = 10_f64.powi(number.log10().floor().clamp(-9.0, 12.0) as i32);
    let steps = [1.0, 2.0, 5.0, 10.0];
    let found = steps.iter().map(|step| step * power).find(|round| *round >= number);
    found.unwrap_or(number.ceil())
}

/// A name as a YAML key.
fn yaml(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(
            name.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | "nan" | "inf"
        );
    if plain { name.to_owned() } else { json_text(name) }
}

/// A text in double quotes: what JSON escapes, YAML reads back.
fn json_text(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// What comes from a file and stands in a comment: it cannot end the comment.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_round_and_not_below() {
        for (number, round) in [(1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (5.1, 10.0), (120.0, 200.0), (0.03, 0.05)] {
            assert!((generous(number) - round).abs() < 1e-9, "{number}: {}", generous(number));
        }
    }

    #[test]
    fn names_that_mean_something_in_yaml_are_quoted() {
        for (name, key) in
            [("amount", "amount"), ("no", "\"no\""), ("a: b", "\"a: b\""), ("12", "\"12\""), ("é\"", "\"é\\\"\"")]
        {
            assert_eq!(yaml(name), key);
        }
        assert_eq!(one_line("a\nb\u{2028}c"), "a b c");
    }
}
