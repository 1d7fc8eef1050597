//! A whole Dockerfile: what comes before the first `FROM`, and the stages.

use crate::error::ParseError;
use crate::instruction::{Arg, From, Instruction, parse as parse_line};
use crate::lines;

/// Of one Dockerfile, at most.
const INSTRUCTIONS_MAX: usize = 10_000;

/// An instruction and the text that it stands there as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    pub text: String,
    pub line: usize,
    pub instruction: Instruction,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stage {
    pub from: From,
    pub text: String,
    pub line: usize,
    pub commands: Vec<Command>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dockerfile {
    pub escape: char,
    /// Before the first stage: for `FROM` alone, unless a stage asks for them again. With the text
    /// of each.
    pub args: Vec<(String, Vec<Arg>)>,
    pub stages: Vec<Stage>,
}

impl Dockerfile {
    /// By name, or by number.
    pub fn stage(&self, name: &str) -> Option<usize> {
        let named = self.stages.iter().rposition(|stage| {
            stage.from.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name))
        });
        named.or_else(|| name.parse().ok().filter(|at| *at < self.stages.len()))
    }
}

pub fn parse(text: &str) -> Result<Dockerfile, ParseError> {
    let lines::Lines { escape, lines } = lines::split(text)?;
    if lines.is_empty() {
        return Err(ParseError::new(0, "file with no instructions"));
    }
    if lines.len() > INSTRUCTIONS_MAX {
        return Err(ParseError::new(0, "the Dockerfile has too many instructions"));
    }
    let mut dockerfile = Dockerfile { escape, args: Vec::new(), stages: Vec::new() };
    for line in &lines {
        let instruction = parse_line(line, escape)?;
        if let Instruction::Onbuild(trigger) = &instruction {
            // Wrong ones are told of now, not when another image is built.
            let trigger = lines::Line { text: trigger.clone(), ..line.clone() };
            parse_line(&trigger, escape)?;
        }
        let (text, number) = (line.text.clone(), line.number);
        match (instruction, dockerfile.stages.last_mut()) {
            (Instruction::From(from), _) => {
                let stage = Stage { from, text, line: number, commands: Vec::new() };
                dockerfile.stages.push(stage);
            }
            (Instruction::Arg(args), None) => dockerfile.args.push((text, args)),
            (instruction, Some(stage)) => {
                stage.commands.push(Command { text, line: number, instruction });
            }
            (_, None) => {
                return Err(ParseError::new(number, "no build stage in current context"));
            }
        }
    }
    match dockerfile.stages.is_empty() {
        true => Err(ParseError::new(0, "No build stage in current context")),
        false => Ok(dockerfile),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages() {
        let parsed =
            parse("ARG v=1\nFROM a:$v AS one\nRUN x\nFROM one\nCOPY --from=0 a b\n").unwrap();
        assert_eq!((parsed.args.len(), parsed.stages.len()), (1, 2));
        assert_eq!(parsed.stages[0].commands[0].text, "RUN x");
        assert_eq!(
            (parsed.stage("ONE"), parsed.stage("1"), parsed.stage("2")),
            (Some(0), Some(1), None)
        );
        for (text, part) in [
            ("", "file with no instructions"),
            ("# x\n", "file with no instructions"),
            ("RUN x", "no build stage"),
            ("ARG x", "No build stage"),
            ("FROM a\nONBUILD COPY x", "at least two arguments"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
