//! Numbers and byte strings in our own files.
//!
//! The few shapes that the log, the snapshots and stored records are made of: a number is a
//! little-endian base-128 varint, a byte string is its length and its bytes. A decoder never
//! allocates on the word of a length it has not compared with the bytes that are there.
//!
//! Checksums are not here: whoever frames the bytes checks them before they are decoded, so
//! an error from this module means a writer's mistake or a forged checksum.

use raft::eraftpb::ConfState;

/// Why bytes could not be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the bytes end in the middle of a value")]
    Truncated,
    #[error("a number does not fit into 64 bits")]
    NumberTooLong,
    #[error("tag {0} is unknown")]
    UnknownTag(u8),
    #[error("{0} bytes are left over after the last value")]
    LeftOver(usize),
}

/// Appends a varint.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed number. Negative ones take ten bytes; they do not occur in practice.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, number as u64);
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a configuration of voters and learners, joint or not.
pub(crate) fn put_conf_state(out: &mut Vec<u8>, conf_state: &ConfState) {
    let lists = [
        &conf_state.voters,
        &conf_state.learners,
        &conf_state.voters_outgoing,
        &conf_state.learners_next,
    ];
    for list in lists {
        put_number(out, list.len() as u64);
        for member in list {
            put_number(out, *member);
        }
    }
    out.push(u8::from(conf_state.auto_leave));
}

/// Reads values from the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = *self.bytes.get(self.at).ok_or(CodecError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, CodecError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(CodecError::NumberTooLong);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CodecError::NumberTooLong)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, CodecError> {
        Ok(self.number()? as i64)
    }

    /// A count of things of at least `smallest` bytes each; refused when they cannot be there.
    pub(crate) fn count(&mut self, smallest: usize) -> Result<usize, CodecError> {
        let count = self.number()?;
        let room = self.remaining() / smallest.max(1);
        usize::try_from(count).ok().filter(|n| *n <= room).ok_or(CodecError::Truncated)
    }

    /// The next `length` bytes.
    pub(crate) fn slice(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(length).ok_or(CodecError::Truncated)?;
        let slice = self.bytes.get(self.at..end).ok_or(CodecError::Truncated)?;
        self.at = end;
        Ok(slice)
    }

    /// A length and that many bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.count(1)?;
        self.slice(length)
    }

    pub(crate) fn conf_state(&mut self) -> Result<ConfState, CodecError> {
        Ok(ConfState {
            voters: self.members()?,
            learners: self.members()?,
            voters_outgoing: self.members()?,
            learners_next: self.members()?,
            auto_leave: match self.byte()? {
                0 => false,
                1 => true,
                other => return Err(CodecError::UnknownTag(other)),
            },
            ..ConfState::default()
        })
    }

    fn members(&mut self) -> Result<Vec<u64>, CodecError> {
        let count = self.count(1)?;
        (0..count).map(|_| self.number()).collect()
    }

    /// Fails unless everything has been read.
    pub(crate) fn finish(self) -> Result<(), CodecError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(CodecError::LeftOver(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: u64, signed: i64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_signed(&mut out, signed);
            put_bytes(&mut out, &bytes);
            let mut decoder = Decoder::new(&out);
            prop_assert_eq!(decoder.number(), Ok(number));
            prop_assert_eq!(decoder.signed(), Ok(signed));
            prop_assert_eq!(decoder.bytes(), Ok(&bytes[..]));
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_panic(bytes: Vec<u8>) {
            let mut decoder = Decoder::new(&bytes);
            let _ = decoder.conf_state();
            let _ = decoder.bytes();
            let _ = decoder.number();
            prop_assert!(decoder.position() <= bytes.len());
        }
    }

    #[test]
    fn a_joint_configuration_comes_back() {
        let mut conf_state = ConfState::from((vec![1, 2, u64::MAX], vec![4]));
        conf_state.voters_outgoing = vec![1, 2, 3];
        conf_state.learners_next = vec![3];
        conf_state.auto_leave = true;
        let mut out = Vec::new();
        put_conf_state(&mut out, &conf_state);
        assert_eq!(Decoder::new(&out).conf_state(), Ok(conf_state));
    }

    #[test]
    fn a_huge_length_is_refused_before_anything_is_allocated() {
        let mut out = Vec::new();
        put_number(&mut out, u64::MAX);
        assert_eq!(Decoder::new(&out).bytes(), Err(CodecError::Truncated));
        assert_eq!(Decoder::new(&out).conf_state(), Err(CodecError::Truncated));
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(Decoder::new(&bytes).number(), Err(CodecError::NumberTooLong));
    }
}
