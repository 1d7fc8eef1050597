//! Calls of functions, each with a grammar of its own.

use super::{Parser, Tall, failed, structure};
use crate::ast::*;
use crate::time::Part;
use crate::token::{At, Kind};
use crate::{Result, SelectError};

impl Parser {
    pub(super) fn cast(&mut self) -> Result<Tall> {
        self.expect(
            "(",
            "ParseExpectedLeftParenAfterCast",
            "Expected left parenthesis after CAST",
        )?;
        let (expr, height) = self.expression(0)?;
        self.expect_keyword("as")?;
        let token = self.take();
        let word = token.text.to_ascii_lowercase();
        let (to, parameters) = match (token.kind, word.as_str()) {
            (Kind::Keyword, "bool" | "boolean") => (Type::Bool, 0),
            (Kind::Keyword, "int" | "integer" | "smallint") => (Type::Int, 0),
            (Kind::Keyword, "float") => (Type::Float, 1),
            (Kind::Keyword, "real") => (Type::Float, 0),
            (Kind::Keyword, "double") => {
                self.skip_keyword("precision");
                (Type::Float, 0)
            }
            (Kind::Keyword, "decimal" | "dec" | "numeric") => (Type::Decimal, 2),
            (Kind::Keyword, "string") => (Type::Text, 0),
            (Kind::Keyword, "char" | "character" | "varchar") => (Type::Text, 1),
            (Kind::Keyword, "timestamp") => (Type::Timestamp, 0),
            (Kind::Keyword | Kind::Identifier, _) => {
                let text = "The SQL expression contains an invalid data type.";
                return Err(SelectError::new("InvalidDataType", text));
            }
            _ => return Err(failed("ParseExpectedTypeName", "Expected type name", token.at)),
        };
        if parameters > 0 && self.skip("(") {
            for i in 0..parameters {
                let token = self.take();
                if token.kind != Kind::Number || token.text.parse::<u32>().is_err() {
                    let what = "Invalid type parameter";
                    return Err(failed("ParseInvalidTypeParam", what, token.at));
                }
                if i + 1 == parameters || !self.skip(",") {
                    break;
                }
            }
            self.expect(")", "ParseExpectedTokenType", "Expected token RIGHT_PAREN")?;
        }
        self.expect(")", "ParseCastArity", "CAST has incorrect arity")?;
        Ok((Expr::Cast(Box::new(expr), to), Parser::over(&[height])?))
    }

    /// A call, its name taken.
    pub(super) fn function(&mut self, word: &str, at: At) -> Result<Tall> {
        let aggregate = match word {
            "avg" => Some(AggregateFunction::Avg),
            "count" => Some(AggregateFunction::Count),
            "max" => Some(AggregateFunction::Max),
            "min" => Some(AggregateFunction::Min),
            "sum" => Some(AggregateFunction::Sum),
            _ => None,
        };
        let what = "Expected left parenthesis";
        self.expect("(", "ParseExpectedLeftParenBuiltinFunctionCall", what)?;
        if let Some(function) = aggregate {
            return self.aggregate(function, at);
        }
        let (function, counts) = match word {
            "char_length" | "character_length" => (Function::CharLength, 1..=1),
            "coalesce" => (Function::Coalesce, 1..=usize::MAX),
            "date_add" => (Function::DateAdd(self.part(false)?), 2..=2),
            "date_diff" => (Function::DateDiff(self.part(false)?), 2..=2),
            "extract" => return self.extract(),
            "lower" => (Function::Lower, 1..=1),
            "nullif" => (Function::NullIf, 2..=2),
            "substring" => return self.substring(),
            "to_string" => (Function::ToString, 2..=2),
            "to_timestamp" => (Function::ToTimestamp, 1..=2),
            "trim" => return self.trim(),
            "upper" => (Function::Upper, 1..=1),
            "utcnow" => (Function::UtcNow, 0..=0),
            _ => {
                let text = "Encountered an unsupported SQL function.";
                return Err(SelectError::new("UnsupportedFunction", text));
            }
        };
        let (arguments, height) = self.arguments()?;
        if !counts.contains(&arguments.len()) {
            return Err(wrong_count());
        }
        Ok((Expr::Call(function, arguments), height))
    }

    /// All up to the closing bracket, and the height of a call with them.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize)> {
        let (mut all, mut heights) = (Vec::new(), vec![0]);
        if !self.peek().is(")") {
            loop {
                let (expr, height) = self.expression(0)?;
                all.push(expr);
                heights.push(height);
                if !self.skip(",") {
                    break;
                }
            }
        }
        self.close()?;
        Ok((all, Parser::over(&heights)?))
    }

    fn close(&mut self) -> Result<()> {
        let what = "Expected right parenthesis";
        self.expect(")", "ParseExpectedRightParenBuiltinFunctionCall", what)
    }

    fn aggregate(&mut self, function: AggregateFunction, at: At) -> Result<Tall> {
        if !self.aggregating {
            return Err(structure());
        }
        let argument = if self.skip("*") {
            if function != AggregateFunction::Count {
                let what = "Only COUNT with (*) as a parameter is supported";
                return Err(failed("ParseUnsupportedCallWithStar", what, at));
            }
            None
        } else if self.peek().is_keyword("distinct") || self.peek().is_keyword("all") {
            return Err(failed("ParseUnsupportedSyntax", "Unsupported syntax", self.at()));
        } else {
            // No aggregate of aggregates.
            self.aggregating = false;
            let argument = self.expression(0);
            self.aggregating = true;
            Some(argument?.0)
        };
        if self.peek().is(",") {
            let what = "Only one argument is supported for aggregate functions";
            return Err(failed("ParseNonUnaryAgregateFunctionCall", what, at));
        }
        self.close()?;
        self.aggregates.push(Aggregate { function, argument });
        Ok((Expr::Aggregate(self.aggregates.len() - 1), 1))
    }

    /// The part of a date, and the comma after it.
    fn part(&mut self, zones: bool) -> Result<Part> {
        let token = self.take();
        let part = match token.kind {
            Kind::Keyword | Kind::Identifier => Part::parse(&token.text.to_ascii_lowercase()),
            _ => None,
        };
        let Some(part) = part.filter(|part| zones || !part.is_zone()) else {
            return Err(failed("ParseExpectedDatePart", "Expected date part", token.at));
        };
        if !zones {
            let what = "Expected argument delimiter";
            self.expect(",", "ParseExpectedArgumentDelimiter", what)?;
        }
        Ok(part)
    }

    fn extract(&mut self) -> Result<Tall> {
        let part = self.part(true)?;
        self.expect_keyword("from")?;
        let (arguments, height) = self.arguments()?;
        match arguments.len() {
            1 => Ok((Expr::Call(Function::Extract(part), arguments), height)),
            _ => Err(wrong_count()),
        }
    }

    /// `(text FROM start FOR length)`, or with commas.
    fn substring(&mut self) -> Result<Tall> {
        let (text, first) = self.expression(0)?;
        if !self.peek().is_keyword("from") {
            let comma = self.skip(",");
            let (mut arguments, height) = self.arguments()?;
            arguments.insert(0, text);
            if !comma || !(2..=3).contains(&arguments.len()) {
                return Err(wrong_count());
            }
            let height = Parser::over(&[first, height])?;
            return Ok((Expr::Call(Function::Substring, arguments), height));
        }
        self.place += 1;
        let (start, second) = self.expression(0)?;
        let (mut arguments, mut heights) = (vec![text, start], vec![first, second]);
        if self.skip_keyword("for") {
            let (length, height) = self.expression(0)?;
            arguments.push(length);
            heights.push(height);
        }
        self.close()?;
        Ok((Expr::Call(Function::Substring, arguments), Parser::over(&heights)?))
    }

    /// `(text)`, `(FROM text)`, `(LEADING FROM text)`, `(BOTH characters FROM text)`.
    fn trim(&mut self) -> Result<Tall> {
        let mut ends = Ends { leading: true, trailing: true };
        let said = if self.skip_keyword("leading") {
            ends.trailing = false;
            true
        } else if self.skip_keyword("trailing") {
            ends.leading = false;
            true
        } else {
            self.skip_keyword("both")
        };
        let function = Function::Trim(ends);
        let mut unwanted = None;
        if !self.peek().is_keyword("from") {
            let (expr, height) = self.expression(0)?;
            if !said && !self.peek().is_keyword("from") {
                self.close()?;
                return Ok((Expr::Call(function, vec![expr]), Parser::over(&[height])?));
            }
            unwanted = Some((expr, height));
        }
        self.expect_keyword("from")?;
        let (text, height) = self.expression(0)?;
        self.close()?;
        let height = Parser::over(&[height, unwanted.as_ref().map_or(0, |(_, height)| *height)])?;
        let arguments = [Some(text), unwanted.map(|(expr, _)| expr)];
        Ok((Expr::Call(function, arguments.into_iter().flatten().collect()), height))
    }
}

fn wrong_count() -> SelectError {
    let text = "Incorrect number of arguments in the function call in the SQL expression.";
    SelectError::new("EvaluatorInvalidArguments", text)
}
