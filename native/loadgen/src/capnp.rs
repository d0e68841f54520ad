//! As much of Cap'n Proto as the edge's side needs: framing, a reader, and one kind of list.
//!
//! Source: <https://capnproto.org/encoding.html>; protocol.md sections 5.1 and 13.

use anyhow::{Result, bail, ensure};

/// Bytes of the framed message that `buffer` begins with, or `None` while its table is incomplete.
///
/// # Errors
/// More than `MAX_SEGMENTS` segments, or more than `limit` bytes.
pub fn framed_size(buffer: &[u8], limit: usize) -> Result<Option<usize>> {
    if buffer.len() < 4 {
        return Ok(None);
    }
    let count = u32_at(buffer, 0) as usize + 1;
    ensure!(count <= MAX_SEGMENTS, "a message of {count} segments");
    let table = table_size(count);
    if buffer.len() < table {
        return Ok(None);
    }
    let words: usize = (0..count)
        .map(|index| u32_at(buffer, 4 + 4 * index) as usize)
        .sum();
    let size = table + 8 * words;
    ensure!(size <= limit, "a message of {size} bytes");
    Ok(Some(size))
}

/// A framed message, borrowed.
pub struct Message<'a> {
    segments: Vec<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Split a message that `framed_size` found complete.
    pub fn parse(framed: &'a [u8]) -> Result<Self> {
        ensure!(framed.len() >= 8, "a message without a table");
        let count = u32_at(framed, 0) as usize + 1;
        ensure!(count <= MAX_SEGMENTS, "a message of {count} segments");
        let mut rest = framed.get(table_size(count)..).unwrap_or_default();
        let mut segments = Vec::with_capacity(count);
        for index in 0..count {
            let size = 8 * u32_at(framed, 4 + 4 * index) as usize;
            ensure!(size <= rest.len(), "a segment that is cut short");
            let (segment, behind) = rest.split_at(size);
            segments.push(segment);
            rest = behind;
        }
        Ok(Self { segments })
    }

    /// The root struct.
    pub fn root(&self) -> Result<Struct<'a, '_>> {
        Struct::at(self, 0, 0)
    }

    fn word(&self, segment: usize, index: usize) -> Result<u64> {
        let bytes = self
            .segments
            .get(segment)
            .and_then(|data| data.get(8 * index..8 * index + 8));
        match bytes {
            Some(bytes) => Ok(u64::from_le_bytes(bytes.try_into()?)),
            None => bail!("a pointer out of its segment"),
        }
    }

    fn words(&self, segment: usize, begin: usize, count: usize) -> Result<&'a [u8]> {
        let data: &'a [u8] = self.segments[segment];
        match data.get(8 * begin..8 * (begin + count)) {
            Some(bytes) => Ok(bytes),
            None => bail!("an object out of its segment"),
        }
    }

    /// Follow far pointers: the pointer that describes the object, and where the object begins.
    fn resolve(&self, segment: usize, index: usize) -> Result<(u64, usize, usize)> {
        let pointer = self.word(segment, index)?;
        if pointer & 3 != FAR {
            return Ok((pointer, segment, near_target(pointer, index)?));
        }
        let (landing, pad) = ((pointer >> 32) as usize, (pointer as u32 >> 3) as usize);
        let first = self.word(landing, pad)?;
        if pointer & 4 == 0 {
            ensure!(first & 3 != FAR, "a far pointer to a far pointer");
            return Ok((first, landing, near_target(first, pad)?));
        }
        ensure!(first & 7 == FAR, "a double-far pointer to no far pointer");
        let tag = self.word(landing, pad + 1)?;
        Ok((tag, (first >> 32) as usize, (first as u32 >> 3) as usize))
    }
}

/// A struct in a message; what lies outside of it reads as zero or as empty.
#[derive(Clone, Copy)]
pub struct Struct<'a, 'm> {
    message: &'m Message<'a>,
    segment: usize,
    data: &'a [u8],
    pointers: usize,
    pointer_count: usize,
}

impl<'a, 'm> Struct<'a, 'm> {
    fn at(message: &'m Message<'a>, segment: usize, index: usize) -> Result<Self> {
        let (pointer, segment, begin) = message.resolve(segment, index)?;
        if pointer == 0 {
            return Ok(Self {
                message,
                segment: 0,
                data: &[],
                pointers: 0,
                pointer_count: 0,
            });
        }
        ensure!(pointer & 3 == STRUCT, "a struct was expected");
        Self::sized(message, segment, begin, pointer)
    }

    fn sized(message: &'m Message<'a>, segment: usize, begin: usize, pointer: u64) -> Result<Self> {
        let data_words = (pointer >> 32) as u16 as usize;
        let pointer_count = (pointer >> 48) as usize;
        message.words(segment, begin, data_words + pointer_count)?;
        let data = message.words(segment, begin, data_words)?;
        Ok(Self {
            message,
            segment,
            data,
            pointers: begin + data_words,
            pointer_count,
        })
    }

    /// The byte at this offset of the data section.
    pub fn u8(&self, offset: usize) -> u8 {
        self.data.get(offset).copied().unwrap_or(0)
    }

    /// The 16 bits at this byte offset.
    pub fn u16(&self, offset: usize) -> u16 {
        self.number(offset, 2) as u16
    }

    /// The 32 bits at this byte offset.
    pub fn u32(&self, offset: usize) -> u32 {
        self.number(offset, 4) as u32
    }

    /// The 64 bits at this byte offset.
    pub fn u64(&self, offset: usize) -> u64 {
        self.number(offset, 8)
    }

    /// The struct behind a pointer.
    pub fn structure(&self, index: usize) -> Result<Self> {
        if index >= self.pointer_count {
            return Ok(Self {
                data: &[],
                pointer_count: 0,
                ..*self
            });
        }
        Self::at(self.message, self.segment, self.pointers + index)
    }

    /// A text, without its NUL.
    pub fn text(&self, index: usize) -> Result<&'a [u8]> {
        Ok(self.data(index)?.strip_suffix(b"\0").unwrap_or_default())
    }

    /// A list of bytes.
    pub fn data(&self, index: usize) -> Result<&'a [u8]> {
        let Some((pointer, segment, begin)) = self.list(index)? else {
            return Ok(&[]);
        };
        ensure!(pointer >> 32 & 7 == BYTES, "a list of bytes was expected");
        let size = (pointer >> 35) as usize;
        Ok(&self.message.words(segment, begin, size.div_ceil(8))?[..size])
    }

    /// A list of structs.
    pub fn structs(
        &self,
        index: usize,
    ) -> Result<impl Iterator<Item = Result<Self>> + use<'a, 'm>> {
        let mut found = (0, 0, 0, 0);
        if let Some((pointer, segment, begin)) = self.list(index)? {
            ensure!(
                pointer >> 32 & 7 == COMPOSITE,
                "a list of structs was expected"
            );
            let tag = self.message.word(segment, begin)?;
            let count = (tag as u32 >> 2) as usize;
            let size = (tag >> 32) as u16 as usize + (tag >> 48) as usize;
            ensure!(
                count * size <= (pointer >> 35) as usize && (size > 0 || count == 0),
                "a list with more structs than room"
            );
            found = (count, tag, segment, begin + 1);
        }
        let (count, tag, segment, begin) = found;
        let message = self.message;
        let size = (tag >> 32) as u16 as usize + (tag >> 48) as usize;
        Ok((0..count).map(move |number| Self::sized(message, segment, begin + number * size, tag)))
    }

    fn list(&self, index: usize) -> Result<Option<(u64, usize, usize)>> {
        if index >= self.pointer_count {
            return Ok(None);
        }
        let found = self.message.resolve(self.segment, self.pointers + index)?;
        if found.0 == 0 {
            return Ok(None);
        }
        ensure!(found.0 & 3 == LIST, "a list was expected");
        Ok(Some(found))
    }

    fn number(&self, offset: usize, size: usize) -> u64 {
        let mut bytes = [0; 8];
        if let Some(found) = self.data.get(offset..offset + size) {
            bytes[..size].copy_from_slice(found);
        }
        u64::from_le_bytes(bytes)
    }
}

/// A message of one segment: frame these words.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(8 + body.len());
    framed.extend(0u32.to_le_bytes());
    framed.extend(((body.len() / 8) as u32).to_le_bytes());
    framed.extend(body);
    framed
}

/// The pointer to a struct `offset` words behind it.
pub const fn struct_pointer(offset: u32, data_words: u16, pointers: u16) -> u64 {
    ((offset as u64) << 2) | STRUCT | ((data_words as u64) << 32) | ((pointers as u64) << 48)
}

/// The pointer to a text of `length` bytes, NUL not counted, `offset` words behind it.
pub fn text_pointer(offset: usize, length: usize) -> u64 {
    ((offset as u64) << 2) | LIST | (BYTES << 32) | ((length as u64 + 1) << 35)
}

/// A text with its NUL, in whole words.
pub fn padded(text: &[u8]) -> Vec<u8> {
    let mut padded = text.to_vec();
    padded.resize((text.len() / 8 + 1) * 8, 0);
    padded
}

/// A list of structs of two texts each, and the pointer to it from `offset` words before it.
pub fn text_pairs(offset: usize, pairs: &[(Vec<u8>, Vec<u8>)]) -> (u64, Vec<u8>) {
    let count = pairs.len();
    let mut pointers = vec![(count as u64) << 2 | 2 << 48];
    let mut texts = Vec::new();
    for (number, text) in pairs
        .iter()
        .flat_map(|(key, value)| [key, value])
        .enumerate()
    {
        let distance = 2 * count - 1 - number + texts.len() / 8;
        pointers.push(text_pointer(distance, text.len()));
        texts.extend(padded(text));
    }
    let mut list: Vec<u8> = pointers
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    list.extend(texts);
    // The count of a composite list is that of its structs' words, the tag left out.
    let pointer = (offset as u64) << 2 | LIST | COMPOSITE << 32 | (2 * count as u64) << 35;
    (pointer, list)
}

fn near_target(pointer: u64, index: usize) -> Result<usize> {
    let offset = i64::from(pointer as i32 >> 2);
    match usize::try_from(index as i64 + 1 + offset) {
        Ok(target) => Ok(target),
        Err(_) => bail!("a pointer before its segment"),
    }
}

fn table_size(segments: usize) -> usize {
    (4 + 4 * segments).div_ceil(8) * 8
}

fn u32_at(buffer: &[u8], offset: usize) -> u32 {
    let bytes = buffer
        .get(offset..offset + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

const MAX_SEGMENTS: usize = 512;
const STRUCT: u64 = 0;
const LIST: u64 = 1;
const FAR: u64 = 2;
const BYTES: u64 = 2;
const COMPOSITE: u64 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_pointers_are_followed() {
        // Segment 0 holds a far pointer to segment 1; there a struct (1, 0) follows its pointer.
        let mut framed = Vec::new();
        for number in [1u32, 1, 2, 0] {
            framed.extend(number.to_le_bytes());
        }
        framed.extend((FAR | 1 << 32).to_le_bytes());
        framed.extend(struct_pointer(0, 1, 0).to_le_bytes());
        framed.extend(7u64.to_le_bytes());
        let message = Message::parse(&framed).unwrap();
        assert_eq!(message.root().unwrap().u32(0), 7);
    }

    #[test]
    fn pointers_out_of_the_message_are_errors() {
        let framed = frame(&struct_pointer(5, 1, 1).to_le_bytes());
        assert!(Message::parse(&framed).unwrap().root().is_err());
        let before = frame(&(0xffff_ff00u64).to_le_bytes());
        assert!(Message::parse(&before).unwrap().root().is_err());
    }

    #[test]
    fn a_size_is_known_once_its_table_is_there() {
        let framed = frame(&[0; 16]);
        assert_eq!(framed_size(&framed[..7], 100).unwrap(), None);
        assert_eq!(framed_size(&framed[..8], 100).unwrap(), Some(24));
        assert!(framed_size(&framed, 23).is_err());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let body: Vec<u8> = (0..8 * random.usize(1..12))
                .map(|_| random.u8(..))
                .collect();
            let framed = frame(&body);
            let message = Message::parse(&framed).unwrap();
            let Ok(root) = message.root() else { continue };
            let _ = (
                root.u64(0),
                root.text(0),
                root.structure(1).map(|inner| inner.u8(3)),
            );
            if let Ok(list) = root.structs(1) {
                let _ = list
                    .take(100)
                    .filter_map(|entry| entry.ok()?.text(0).ok())
                    .count();
            }
        }
    }
}
