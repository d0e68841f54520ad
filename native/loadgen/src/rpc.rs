//! The edge's side of a control stream: Cap'n Proto calls in, answers out.
//!
//! Source: protocol.md section 5; the answers are its section 13.4 with another answer id.

use anyhow::Result;

use crate::capnp::{Message, frame, framed_size, struct_pointer};
use crate::vectors::{BOOTSTRAP_RETURN, REGISTRATION_RETURN, bytes};

/// What a connector asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// registerConnection, with the connIndex.
    Register(u8),
    /// unregisterConnection.
    Unregister,
    /// updateLocalConfiguration, or what else wants no more than an answer.
    Other,
}

/// Reads a control stream and answers; the bytes may be cut anywhere.
#[derive(Default)]
pub struct ControlStream {
    buffer: Vec<u8>,
    answers: Vec<u8>,
}

impl ControlStream {
    /// Take bytes of the stream; what they asked for, in order.
    ///
    /// # Errors
    /// A malformed message, or one of more than 4 MiB.
    pub fn receive(&mut self, data: &[u8]) -> Result<Vec<Asked>> {
        self.buffer.extend(data);
        let mut asked = Vec::new();
        while let Some(size) = framed_size(&self.buffer, MAX_MESSAGE)? {
            if self.buffer.len() < size {
                break;
            }
            let rest = self.buffer.split_off(size);
            let framed = std::mem::replace(&mut self.buffer, rest);
            asked.extend(self.handle(&framed)?);
        }
        Ok(asked)
    }

    /// What to send; empty for nothing.
    pub fn take_answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answers)
    }

    fn handle(&mut self, framed: &[u8]) -> Result<Option<Asked>> {
        let message = Message::parse(framed)?;
        let root = message.root()?;
        let body = root.structure(0)?;
        match root.u16(0) {
            BOOTSTRAP => {
                self.answers.extend(patched(BOOTSTRAP_RETURN, body.u32(0)));
                Ok(None)
            }
            CALL => {
                let (question, method) = (body.u32(0), body.u16(4));
                let is_ours = body.u64(8) == REGISTRATION_SERVER;
                if is_ours && method == REGISTER {
                    self.answers.extend(patched(REGISTRATION_RETURN, question));
                    let parameters = body.structure(1)?.structure(0)?;
                    return Ok(Some(Asked::Register(parameters.u8(0))));
                }
                self.answers.extend(empty_return(question));
                let is_goodbye = is_ours && method == UNREGISTER;
                Ok(Some(if is_goodbye {
                    Asked::Unregister
                } else {
                    Asked::Other
                }))
            }
            _ => Ok(None), // finish, release, abort: nothing to do
        }
    }
}

fn patched(dump: &str, answer_id: u32) -> Vec<u8> {
    let mut message = bytes(dump);
    message[ANSWER_ID..ANSWER_ID + 4].copy_from_slice(&answer_id.to_le_bytes());
    message
}

/// A Return whose results have no fields.
fn empty_return(answer_id: u32) -> Vec<u8> {
    let words = [
        struct_pointer(0, 1, 1), // Message
        RETURN,
        struct_pointer(0, 2, 1), // Return
        u64::from(answer_id) | NO_RELEASE_NO_FINISH << 32,
        0, // union: results
        struct_pointer(0, 0, 2),
        EMPTY_STRUCT,
        0, // no capabilities
    ];
    let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    frame(&body)
}

// Union tags of rpc.capnp's Message (protocol.md section 5.1).
const CALL: u16 = 2;
const RETURN: u64 = 3;
const BOOTSTRAP: u16 = 8;

const REGISTRATION_SERVER: u64 = 0xf716_95ec_7fe8_5497; // protocol.md section 5.2
const REGISTER: u16 = 0;
const UNREGISTER: u16 = 1;

const ANSWER_ID: usize = 32; // byte offset in both Returns
const NO_RELEASE_NO_FINISH: u64 = 3; // releaseParamCaps false, noFinishNeeded true
const EMPTY_STRUCT: u64 = 0xffff_fffc; // a struct pointer to itself, without words
const MAX_MESSAGE: usize = 4 << 20; // bytes

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::REGISTRATION;

    #[test]
    fn a_registration_is_answered_however_it_is_cut() {
        let wire = bytes(REGISTRATION);
        for step in [1, 7, 4096] {
            let mut control = ControlStream::default();
            let asked: Vec<_> = wire
                .chunks(step)
                .flat_map(|data| control.receive(data).unwrap())
                .collect();
            assert_eq!(asked, [Asked::Register(0)]);
            let expected = [bytes(BOOTSTRAP_RETURN), bytes(REGISTRATION_RETURN)].concat();
            assert_eq!(control.take_answers(), expected);
            assert!(control.take_answers().is_empty());
        }
    }

    #[test]
    fn an_answer_bears_the_number_of_its_question() {
        let message = empty_return(0x0102_0304);
        let message = Message::parse(&message).unwrap();
        let root = message.root().unwrap();
        assert_eq!(u64::from(root.u16(0)), RETURN);
        let answer = root.structure(0).unwrap();
        assert_eq!(answer.u32(0), 0x0102_0304);
        assert_eq!(answer.structure(0).unwrap().structure(0).unwrap().u64(0), 0);
    }

    #[test]
    fn a_message_that_is_too_large_is_refused_before_it_came() {
        let mut control = ControlStream::default();
        let mut table = vec![0; 4];
        table.extend((1u32 << 20).to_le_bytes());
        assert!(control.receive(&table).is_err());
    }
}
