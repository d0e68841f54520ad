//! A framed Cap'n Proto message of one segment.

/// The segment, and how much of it may still be read: pointers to overlapping places would
/// otherwise make a short message a long one.
pub(crate) struct Message<'a> {
    segment: &'a [u8],
    budget: usize,
}

/// A pointer word and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Pointer {
    position: usize,
}

/// A struct: its plain values, then its pointers.
pub(crate) struct Struct {
    start: usize,
    data: usize,
    pointers: usize,
}

/// A list of structs of two pointers each.
pub(crate) struct Pairs {
    start: usize,
    pub count: usize,
}

impl<'a> Message<'a> {
    /// The message that these bytes begin with, and its size with the segment table.
    pub fn first(data: &'a [u8], max_bytes: usize) -> Option<(Self, usize)> {
        let (table, rest) = data.split_first_chunk::<TABLE>()?;
        let (more, words) = halves(*table);
        let size = usize::try_from(words).ok()?.checked_mul(WORD)?;
        if more != 0 || size.checked_add(TABLE)? > max_bytes {
            return None;
        }
        let segment = rest.get(..size)?;
        Some((
            Self {
                segment,
                budget: size,
            },
            TABLE + size,
        ))
    }

    /// The struct that the message begins with.
    pub fn root(&mut self) -> Option<Struct> {
        let (start, low, high) = self.follow(Pointer { position: 0 })?;
        if low & KIND != STRUCT {
            return None;
        }
        let (data, pointers) = (WORD * (high & 0xffff) as usize, (high >> 16) as usize);
        self.claim(start, data + WORD * pointers)?;
        Some(Struct {
            start,
            data,
            pointers,
        })
    }

    /// Text without its NUL; nothing for a null pointer.
    pub fn text(&mut self, pointer: Pointer) -> Option<&'a [u8]> {
        let (start, low, high) = self.follow(pointer)?;
        if low == 0 && high == 0 {
            return Some(b"");
        }
        if low & KIND != LIST || high & 7 != BYTES || high >> 3 == 0 {
            return None;
        }
        let (&last, text) = self.claim(start, (high >> 3) as usize)?.split_last()?;
        (last == 0).then_some(text)
    }

    /// A list of structs of two pointers and no plain values; empty for a null pointer.
    pub fn pairs(&mut self, pointer: Pointer) -> Option<Pairs> {
        let (start, low, high) = self.follow(pointer)?;
        if low == 0 && high == 0 {
            return Some(Pairs { start: 0, count: 0 });
        }
        if low & KIND != LIST || high & 7 != COMPOSITE {
            return None;
        }
        let size = WORD * (high >> 3) as usize;
        let list = self.claim(start, WORD + size)?;
        let (tag, layout) = halves(*list.first_chunk()?);
        let count = (tag >> 2) as usize;
        if tag & KIND != STRUCT || layout != 2 << 16 || count * 2 * WORD > size {
            return None;
        }
        Some(Pairs {
            start: start + WORD,
            count,
        })
    }

    fn claim(&mut self, start: usize, size: usize) -> Option<&'a [u8]> {
        self.budget = self.budget.checked_sub(size)?;
        self.segment.get(start..start.checked_add(size)?)
    }

    /// Where a near pointer leads, and its halves.
    fn follow(&self, pointer: Pointer) -> Option<(usize, u32, u32)> {
        let word = self.segment.get(pointer.position..)?.first_chunk()?;
        let (low, high) = halves(*word);
        if low & KIND > LIST {
            return None;
        }
        // The offset is signed, in words, from behind the pointer.
        let offset = (low.cast_signed() >> 2) as isize * WORD.cast_signed();
        let start = (pointer.position + WORD).checked_add_signed(offset)?;
        Some((start, low, high))
    }
}

impl Struct {
    /// The number `offset` bytes into it; 0 behind its end.
    pub fn uint16(&self, message: &Message<'_>, offset: usize) -> u16 {
        let place = self.start + offset;
        match message.segment.get(place..place + 2) {
            Some(&[low, high]) if offset + 2 <= self.data => u16::from_le_bytes([low, high]),
            _ => 0,
        }
    }

    /// The pointer with this index, if there is one.
    pub fn pointer(&self, index: usize) -> Option<Pointer> {
        let position = self.start + self.data + WORD * index;
        (index < self.pointers).then_some(Pointer { position })
    }
}

impl Pairs {
    /// A pointer of one of the pairs; `index` below `count`.
    pub fn pointer(&self, index: usize, which: usize) -> Pointer {
        Pointer {
            position: self.start + WORD * (2 * index + which),
        }
    }
}

fn halves(word: [u8; WORD]) -> (u32, u32) {
    let word = u64::from_le_bytes(word);
    ((word & 0xffff_ffff) as u32, (word >> 32) as u32)
}

const WORD: usize = 8; // bytes
const TABLE: usize = 8; // bytes: of one segment
const KIND: u32 = 3; // bits of a pointer
const STRUCT: u32 = 0;
const LIST: u32 = 1;
const BYTES: u32 = 2; // kinds of a list's elements
const COMPOSITE: u32 = 7;
