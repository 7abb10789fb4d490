//! The same questions put to the engine itself, over the partners' files, with no privacy and no record: what the vault's
//! times are to be compared with.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use crate::Result;
use crate::data::Data;

pub(crate) struct Plain {
    context: SessionContext,
}

impl Plain {
    pub(crate) async fn open(data: &Data) -> Result<Self> {
        let context = SessionContext::new();
        for (schema, table, source) in
            [("agency", "impressions", &data.impressions), ("retailer", "purchases", &data.purchases)]
        {
            context.sql(&format!("CREATE SCHEMA {schema}")).await?.collect().await?;
            let path = source.path.to_str().ok_or("the folder's name is not UTF-8")?;
            context.register_parquet(format!("{schema}.{table}"), path, ParquetReadOptions::default()).await?;
        }
        Ok(Self { context })
    }

    pub(crate) async fn ask(&self, sql: &str) -> Result<RecordBatch> {
        let frame = self.context.sql(sql).await?;
        let schema = frame.schema().inner().clone();
        Ok(concat_batches(&schema, &frame.collect().await?)?)
    }
}
