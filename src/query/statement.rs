//! What a statement is, before it is planned.

use super::{QueryError, error};
use crate::query::names::Names;
use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as Sql;
use datafusion::sql::sqlparser::dialect::GenericDialect;

/// What is asked.
#[derive(Debug)]
pub(super) enum Asked {
    /// An answer with rows.
    Rows(Box<Statement>),
    /// The columns of a table.
    Columns(String),
    /// The tables there are.
    Tables,
}

/// Reads one statement.
///
/// **Errors** if it cannot be read, there are several, or it would change something.
pub(super) fn read(text: &str, names: &Names) -> Result<Asked, QueryError> {
    let failed = |e: DataFusionError| error::reworded(&e, text, names);
    let dialect = GenericDialect {};
    let parser = DFParserBuilder::new(text).with_dialect(&dialect).build();
    let mut statements = parser
        .and_then(|mut p| p.parse_statements())
        .map_err(failed)?;
    if statements.len() > 1 {
        return Err(QueryError::sql(format!(
            "found {} statements, expected one; in the shell, end each with `;`",
            statements.len()
        )));
    }
    let statement = statements.pop_front();
    let statement = statement.ok_or_else(|| {
        QueryError::sql("the statement is empty; for example: select class, avg(dice) from scores group by class")
    })?;
    let sql = match &statement {
        Statement::Statement(sql) => sql,
        Statement::Explain(_) => return Ok(Asked::Rows(Box::new(statement))),
        Statement::CopyTo(_) | Statement::CreateExternalTable(_) | Statement::Reset(_) => {
            return Err(refused(text, names));
        }
    };
    match sql.as_ref() {
        Sql::Query(_) | Sql::Explain { .. } | Sql::ShowFunctions { .. } => {
            Ok(Asked::Rows(Box::new(statement)))
        }
        Sql::ExplainTable { table_name, .. } => Ok(Asked::Columns(table_name.to_string())),
        Sql::ShowTables { .. } => Ok(Asked::Tables),
        Sql::ShowColumns { show_options, .. } => {
            let of = show_options
                .show_in
                .as_ref()
                .and_then(|s| s.parent_name.as_ref());
            let of = of.map(ToString::to_string).unwrap_or_default();
            Ok(Asked::Columns(of))
        }
        _ => Err(refused(text, names)),
    }
}

/// A statement that would change something.
fn refused(text: &str, names: &Names) -> QueryError {
    let word = text.split_whitespace().next().unwrap_or_default();
    QueryError::sql(format!(
        "queries only read: {} is not allowed; tables: {}",
        word.to_uppercase(),
        names.tables.join(", ")
    ))
}
