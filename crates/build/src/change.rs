//! `--change` of commit and import: instructions that alter how an image runs, and nothing else.

use crate::metadata::{self, command, word, words};
use crate::state::State;
use dockerfile::{Expander, Instruction, parse_instruction};
use engine::Error;
use engine::config::Config;

/// Each text may hold several lines.
pub fn change(run: &Config, texts: &[String]) -> Result<Config, Error> {
    let mut state = State { run: run.clone(), ..State::scratch() };
    let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let instruction =
            parse_instruction(line).map_err(|error| Error::invalid(error.to_string()))?;
        one(&mut state, line, instruction).map_err(|error| Error::invalid(error.text))?;
    }
    Ok(state.run)
}

fn one(state: &mut State, line: &str, instruction: Instruction) -> Result<(), Error> {
    let before = state.clone();
    let lookup = |name: &str| before.env(name);
    let expander = &Expander::new('\\', &lookup);
    match instruction {
        Instruction::Env(pairs) => drop(metadata::env(state, &pairs, expander)?),
        Instruction::Label(pairs) => drop(metadata::label(&mut state.run, &pairs, expander)?),
        Instruction::Cmd(given) => state.run.cmd = Some(command(state, &given)),
        Instruction::Entrypoint(given) => {
            state.run.entrypoint = Some(command(state, &given)).filter(|all| !all.is_empty());
        }
        Instruction::Expose(ports) => {
            drop(metadata::expose(&mut state.run, &words(expander, &ports)?)?);
        }
        Instruction::Volume(paths) => {
            let paths: Result<Vec<String>, Error> =
                paths.iter().map(|path| word(expander, path)).collect();
            drop(metadata::volume(&mut state.run, paths?)?);
        }
        Instruction::User(user) => state.run.user = word(expander, &user)?,
        Instruction::Workdir(path) => {
            let path = word(expander, &path)?;
            state.run.working_dir = metadata::join_workdir(&state.run.working_dir, &path);
        }
        Instruction::Onbuild(trigger) => {
            state.run.on_build.get_or_insert_default().push(trigger);
        }
        Instruction::Healthcheck(health) => {
            drop(metadata::healthcheck(&mut state.run, &health));
        }
        Instruction::StopSignal(signal) => {
            state.run.stop_signal = word(expander, &signal)?;
            engine::validate::signal(&state.run.stop_signal)?;
        }
        _ => {
            let keyword = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            return Err(Error::invalid(format!("{keyword} is not a valid change command")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_changed() {
        let before = Config { env: vec!["A=1".to_owned()], ..Config::default() };
        let texts = [
            "CMD [\"echo\", \"x\"]\nENV B=$A C=3",
            "expose 80 81/udp",
            "USER me",
            "WORKDIR /a",
            "WORKDIR b",
            "LABEL k=v",
            "ENTRYPOINT sh",
        ];
        let after = change(&before, &texts.map(str::to_owned)).unwrap();
        assert_eq!(after.cmd, Some(vec!["echo".to_owned(), "x".to_owned()]));
        assert_eq!(after.env, ["A=1", "B=1", "C=3"]);
        assert_eq!(after.exposed_ports.len(), 2);
        assert_eq!((after.user.as_str(), after.working_dir.as_str()), ("me", "/a/b"));
        assert_eq!(after.labels["k"], "v");
        assert_eq!(after.entrypoint.unwrap(), ["/bin/sh", "-c", "sh"]);
        for bad in ["RUN true", "FROM x", "COPY a b", "NOPE x", "EXPOSE x", "STOPSIGNAL nope"] {
            let error = change(&before, &[bad.to_owned()]).unwrap_err();
            assert_eq!(error.kind, engine::Kind::Invalid, "{bad}");
        }
    }
}
