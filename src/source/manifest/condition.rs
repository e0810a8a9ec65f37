//! The SQL condition of a manifest, as far as it can be checked without the table.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

/// What keeps a text from being one SQL condition; `None` if it can be read. Columns are not looked up.
pub(super) fn problem(condition: &str) -> Option<String> {
    let dialect = GenericDialect {};
    let parsed = Parser::new(&dialect)
        .try_with_sql(condition)
        .and_then(|mut parser| {
            parser.parse_expr()?;
            parser.expect_token(&Token::EOF).map(drop)
        });
    let error = parsed.err()?.to_string();
    let error = error.trim_start_matches("sql parser error: ");
    Some(format!(
        "`where: {condition}` is no SQL condition: {error}; write one on the table's columns, such as `site = 'A' AND age > 40`"
    ))
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn a_condition_is_one_expression() {
        for right in [
            "age > 40",
            "site = 'A' AND \"my column\" IS NULL",
            "id IN ('a', 'b') -- two",
        ] {
            assert_eq!(problem(right), None, "{right}");
        }
        for wrong in [
            "age > and 4",
            "age >",
            "",
            "age > 4; drop table x",
            "age = 4 order by id",
        ] {
            let said = problem(wrong).unwrap_or_else(|| panic!("{wrong}"));
            assert!(said.contains("is no SQL condition"), "{said}");
        }
    }
}
