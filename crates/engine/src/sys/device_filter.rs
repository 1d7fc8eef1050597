//! The program that says, with control groups of version 2, which devices a container may use.
//!
//! The kernel calls it with the kind of access and device, major and minor; it answers 1 or 0.

use super::raw::Instruction;
use crate::plan::DeviceRule;

// Registers: 1 points at what is asked, 2 holds the device's kind, 3 the access, 4 major, 5 minor.
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

const fn op(code: u8, destination: u8, source: u8, offset: i16, value: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, value }
}

fn access_bits(access: &str) -> i32 {
    access.chars().fold(0, |bits, c| {
        bits | match c {
            'm' => 1,
            'r' => 2,
            'w' => 4,
            _ => 0,
        }
    })
}

/// A program in which the last rule that matches decides; without any, the answer is no.
pub fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut out = vec![
        op(LOAD_WORD, 2, 1, 0, 0),
        op(AND, 2, 0, 0, 0xffff),
        op(LOAD_WORD, 3, 1, 0, 0),
        op(SHIFT_RIGHT, 3, 0, 0, 16),
        op(LOAD_WORD, 4, 1, 4, 0),
        op(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let body = rule_body(rule);
        let length = body.len() as i16;
        for (at, mut one) in body.into_iter().enumerate() {
            if one.code == JUMP_UNLESS_EQUAL || one.code == JUMP_UNLESS_EQUAL_REGISTER {
                one.offset = length - at as i16 - 1;
            }
            out.push(one);
        }
        // What follows a rule that decides everything can never be reached, which the kernel refuses.
        if rule.kind == 'a' && rule.major.is_none() && rule.minor.is_none() {
            return out;
        }
    }
    out.extend([op(MOVE, 0, 0, 0, 0), op(EXIT, 0, 0, 0, 0)]);
    out
}

const JUMP_UNLESS_EQUAL_REGISTER: u8 = 0x5d;

fn rule_body(rule: &DeviceRule) -> Vec<Instruction> {
    let mut body = Vec::new();
    match rule.kind {
        'b' => body.push(op(JUMP_UNLESS_EQUAL, 2, 0, 0, 1)),
        'c' => body.push(op(JUMP_UNLESS_EQUAL, 2, 0, 0, 2)),
        _ => {}
    }
    let bits = access_bits(&rule.access);
    if bits != 7 && rule.kind != 'a' {
        // Only if all that is asked for is in the rule.
        body.push(op(MOVE_REGISTER, 6, 3, 0, 0));
        body.push(op(AND, 6, 0, 0, bits));
        body.push(op(JUMP_UNLESS_EQUAL_REGISTER, 6, 3, 0, 0));
    }
    if let Some(major) = rule.major {
        body.push(op(JUMP_UNLESS_EQUAL, 4, 0, 0, major as i32));
    }
    if let Some(minor) = rule.minor {
        body.push(op(JUMP_UNLESS_EQUAL, 5, 0, 0, minor as i32));
    }
    body.push(op(MOVE, 0, 0, 0, i32::from(rule.allow)));
    body.push(op(EXIT, 0, 0, 0, 0));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u32 {
        let mut r = [0u32; 8];
        let mut at = 0usize;
        loop {
            let Instruction { code, registers, offset, value } = program[at];
            let (d, s) = (usize::from(registers & 15), usize::from(registers >> 4));
            at += 1;
            match code {
                LOAD_WORD => r[d] = [access << 16 | kind, major, minor][offset as usize / 4],
                AND => r[d] &= value as u32,
                SHIFT_RIGHT => r[d] >>= value,
                MOVE => r[d] = value as u32,
                MOVE_REGISTER => r[d] = r[s],
                JUMP_UNLESS_EQUAL if r[d] != value as u32 => at += offset as usize,
                JUMP_UNLESS_EQUAL_REGISTER if r[d] != r[s] => at += offset as usize,
                JUMP_UNLESS_EQUAL | JUMP_UNLESS_EQUAL_REGISTER => {}
                EXIT => return r[0],
                other => panic!("{other:#x}"),
            }
        }
    }

    fn rule(
        allow: bool,
        kind: char,
        major: Option<u32>,
        minor: Option<u32>,
        access: &str,
    ) -> DeviceRule {
        DeviceRule { allow, kind, major, minor, access: access.to_owned() }
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        let program = program(&[
            rule(false, 'a', None, None, "rwm"),
            rule(true, 'c', Some(1), Some(3), "rwm"),
            rule(true, 'c', Some(136), None, "rw"),
            rule(true, 'b', None, None, "m"),
        ]);
        const BLOCK: u32 = 1;
        const CHAR: u32 = 2;
        assert_eq!(run(&program, CHAR, 6, 1, 3), 1);
        assert_eq!(run(&program, CHAR, 6, 1, 1), 0);
        assert_eq!(run(&program, CHAR, 6, 136, 7), 1);
        assert_eq!(run(&program, CHAR, 1, 136, 7), 0);
        assert_eq!(run(&program, BLOCK, 1, 8, 0), 1);
        assert_eq!(run(&program, BLOCK, 2, 8, 0), 0);
        assert_eq!(run(&super::program(&[]), CHAR, 2, 1, 3), 0);
    }
}
