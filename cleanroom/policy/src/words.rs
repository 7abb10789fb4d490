//! The words by which documents name the variants of the model: one table for reading and writing.

use std::fmt;

use crate::model::{
    Ability, AnalystTables, Grain, JoinKind, MeasureFunction, Mechanism, ParameterType, Refresh, Require, SmallGroups,
    Use,
};

macro_rules! words {
    ($type:ident { $($word:literal => $variant:ident),+ $(,)? }) => {
        impl $type {
            pub(crate) const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            /// The word a document uses for it.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words!(Ability { "contribute" => Contribute, "query" => Query, "receive" => Receive, "audit" => Audit });
words!(Use {
    "join" => Join, "count" => Count, "dimension" => Dimension, "filter" => Filter, "measure" => Measure,
});
words!(Grain {
    "second" => Second, "minute" => Minute, "hour" => Hour, "day" => Day,
    "week" => Week, "month" => Month, "quarter" => Quarter, "year" => Year,
});
words!(MeasureFunction {
    "sum" => Sum, "avg" => Avg, "count" => Count, "var" => Var, "stddev" => Stddev, "quantile" => Quantile,
});
words!(Require { "none" => None, "any" => Any, "other_partner" => OtherPartner });
words!(JoinKind {
    "inner" => Inner, "semi" => Semi, "left" => Left, "right" => Right, "full" => Full, "anti" => Anti,
});
words!(AnalystTables { "distinct" => Distinct, "full" => Full });
words!(SmallGroups { "drop" => Drop, "merge" => Merge });
words!(Mechanism { "gaussian" => Gaussian, "laplace" => Laplace });
words!(Refresh { "never" => Never, "daily" => Daily, "weekly" => Weekly, "monthly" => Monthly });
words!(ParameterType {
    "text" => Text, "integer" => Integer, "decimal" => Decimal,
    "date" => Date, "timestamp" => Timestamp, "boolean" => Boolean,
});
