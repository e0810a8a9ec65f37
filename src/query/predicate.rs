//! One SQL condition over facts, compiled once and asked often.

use crate::spec::suggest;
use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

/// A condition over the columns of a schema.
#[derive(Debug, Clone)]
pub struct Predicate {
    condition: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    columns: Vec<String>,
}

impl Predicate {
    /// Compiles a condition such as `shape_z > 20 and labelled`; names are taken as written.
    ///
    /// **Errors** what is wrong: SQL that cannot be read, a column that is not there (with the
    /// nearest one that is), a result that is no truth value, or a function that does not depend
    /// on its arguments alone, such as `random()`.
    pub fn compile(text: &str, schema: SchemaRef) -> Result<Self, String> {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let problem = |e: &DataFusionError| told(e, &names);
        let table = DFSchema::try_from(Arc::clone(&schema)).map_err(|e| problem(&e))?;
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .set_bool("datafusion.sql_parser.enable_ident_normalization", false);
        let context = SessionContext::new_with_config(config);
        let logical = context
            .parse_sql_expr(text, &table)
            .map_err(|e| problem(&e))?;
        if let Some(function) = changing(&logical).map_err(|e| problem(&e))? {
            return Err(format!(
                "`{function}` gives another answer each time; a condition may depend on its columns only"
            ));
        }
        let mut columns: Vec<String> = logical
            .column_refs()
            .into_iter()
            .map(|c| c.name.clone())
            .collect();
        columns.sort_unstable();
        let condition = context
            .create_physical_expr(logical, &table)
            .map_err(|e| problem(&e))?;
        let kind = condition.data_type(&schema).map_err(|e| problem(&e))?;
        if kind != DataType::Boolean {
            return Err(format!(
                "the condition gives a value of type {kind}; expected true or false, such as `shape_z > 20`"
            ));
        }
        Ok(Self {
            condition,
            schema,
            columns,
        })
    }

    /// Columns the condition reads, sorted; the others may hold nulls.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Columns of a batch it is asked of.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether the first row of a batch satisfies the condition; unknown (null) does not.
    ///
    /// **Errors** what the query engine says, for a division by zero say.
    pub fn holds(&self, batch: &RecordBatch) -> Result<bool, String> {
        let said = |e: DataFusionError| e.strip_backtrace();
        let answer = self.condition.evaluate(batch).map_err(said)?;
        let answer = answer.into_array(batch.num_rows()).map_err(said)?;
        let answer = answer.as_any().downcast_ref::<BooleanArray>();
        Ok(answer.is_some_and(|a| !a.is_empty() && a.is_valid(0) && a.value(0)))
    }
}

/// Name of a function that does not depend on its arguments alone.
fn changing(condition: &Expr) -> Result<Option<String>, DataFusionError> {
    let mut found = None;
    condition.apply(|part| {
        if let Expr::ScalarFunction(call) = part
            && call.func.signature().volatility != Volatility::Immutable
        {
            found = Some(format!("{}()", call.func.name()));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The error in our words, where it is a column's name.
fn told(error: &DataFusionError, names: &[&str]) -> String {
    match error.find_root() {
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::FieldNotFound { field, .. } => {
                let name = field.name();
                format!("there is no column `{name}`; {}", suggest(name, names))
            }
            _ => error.strip_backtrace(),
        },
        _ => error.strip_backtrace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array};
    use arrow::datatypes::{Field, Schema};

    fn schema() -> SchemaRef {
        let field = |name: &str, kind| Field::new(name, kind, true);
        Arc::new(Schema::new(vec![
            field("shape_z", DataType::Int64),
            field("spacing_z_mm", DataType::Float64),
            field("has_CT", DataType::Boolean),
        ]))
    }

    fn asked(text: &str, shape: Option<i64>, spacing: f64) -> Result<bool, String> {
        let predicate = Predicate::compile(text, schema())?;
        let batch = RecordBatch::try_new(
            Arc::clone(predicate.schema()),
            vec![
                Arc::new(Int64Array::from(vec![shape])),
                Arc::new(Float64Array::from(vec![spacing])),
                Arc::new(BooleanArray::from(vec![true])),
            ],
        );
        predicate.holds(&batch.unwrap())
    }

    #[test]
    fn conditions_are_sql() {
        assert_eq!(asked("shape_z > 20 and has_CT", Some(21), 1.0), Ok(true));
        assert_eq!(asked("shape_z > 20 and has_CT", Some(20), 1.0), Ok(false));
        assert_eq!(
            asked("shape_z * spacing_z_mm between 30 and 40", Some(21), 1.5),
            Ok(true)
        );
        // Unknown is not true, and neither is its opposite.
        assert_eq!(asked("shape_z > 20", None, 1.0), Ok(false));
        assert_eq!(asked("not (shape_z > 20)", None, 1.0), Ok(false));
        assert_eq!(asked("shape_z is null", None, 1.0), Ok(true));
        let predicate = Predicate::compile("shape_z > 1 or shape_z < 0", schema()).unwrap();
        assert_eq!(predicate.columns(), ["shape_z"]);
    }

    #[test]
    fn mistakes_are_told_with_the_nearest_name() {
        let error = |text| Predicate::compile(text, schema()).unwrap_err();
        let unknown = error("spacing_z > 3");
        assert!(
            unknown.contains("no column `spacing_z`") && unknown.contains("`spacing_z_mm`"),
            "{unknown}"
        );
        assert!(error("shape_z + 1").contains("true or false"));
        assert!(error("random() < 0.5").contains("`random()`"));
        assert!(error("now() is null").contains("now()"));
        assert!(!error("shape_z >").is_empty());
        assert!(!error("count(*) > 1").is_empty());
        assert!(asked("shape_z % 0 = 1", Some(3), 1.0).is_err());
    }
}
