//! What a transaction did, as the log keeps it: enough to do it again on a member that missed it.
//!
//! | field | bytes |
//! |---|---|
//! | version | 2 |
//! | certified by | 0, or 1 and text (version 1: not there, 0) |
//! | members | count u8, each text |
//! | user | 0, or 1 and text |
//! | start-up parameters | count u16, each name and value |
//! | settings in force | count u16, each text |
//! | token | 0, or 1 and text |
//! | sequences | count u16, each name and highest value i64 |
//! | entries | count u32, each: kind u8, alone u8, tag (0, or 1 and text), fields of the kind |
//!
//! A text is its length (u32, little endian) and its bytes. Integers are little endian.

use super::{CorruptKind, Position};

/// Version of the form above.
const VERSION: u8 = 2;
/// Versions that are read.
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=VERSION;

/// A transaction that is decided once its record is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// Names of the members that its session commits on. Others get it from the log.
    pub members: Vec<String>,
    /// Under what it was run.
    pub context: Context,
    /// The client's name for its outcome.
    pub token: Option<Vec<u8>>,
    /// What followers got, in order.
    pub entries: Vec<IntentEntry>,
    /// Sequences (quoted, with schema) of which it has used values, with the highest.
    pub sequences: Vec<(String, i64)>,
    /// Name of the lead whose COMMIT decides, alone and first (SERIALIZABLE, cursors WITH HOLD): what it does not hold was never carried out, and must
    /// not be.
    pub certified_by: Option<String>,
}

/// What a connection must be like for the entries to mean the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Context {
    /// Role on the members; `None`: each member's own.
    pub user: Option<Vec<u8>>,
    /// Start-up parameters.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// Statements that were in force (`SET …`), in order.
    pub settings: Vec<Vec<u8>>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentEntry {
    /// What is sent.
    pub statement: IntentStatement,
    /// The command tag that it must answer with; `None`: any success.
    pub tag: Option<Vec<u8>>,
    /// It is sent by itself: it changes how texts are read.
    pub alone: bool,
}

/// How it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntentStatement {
    /// A simple query.
    Simple(Vec<u8>),
    /// A statement with parameters.
    Extended {
        /// Its text.
        text: Vec<u8>,
        /// Parameter types, as in Parse behind the text.
        types: Vec<u8>,
        /// As in Bind behind the names.
        tail: Vec<u8>,
    },
    /// COPY FROM STDIN.
    Copy {
        /// Its text.
        text: Vec<u8>,
        /// Where its rows are ([`super::RecordKind::CopyRows`]), in order.
        rows: Vec<Position>,
    },
}

impl Intent {
    /// The payload of its record.
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self.entries.iter().map(IntentEntry::size).sum();
        let mut out = Vec::with_capacity(size + 256);
        out.push(VERSION);
        put_option(&mut out, self.certified_by.as_deref().map(str::as_bytes));
        out.push(u8::try_from(self.members.len()).unwrap_or(u8::MAX));
        self.members.iter().take(usize::from(u8::MAX)).for_each(|name| put(&mut out, name.as_bytes()));
        put_option(&mut out, self.context.user.as_deref());
        put_u16(&mut out, self.context.parameters.len());
        for (name, value) in &self.context.parameters {
            put(&mut out, name);
            put(&mut out, value);
        }
        put_u16(&mut out, self.context.settings.len());
        self.context.settings.iter().for_each(|sql| put(&mut out, sql));
        put_option(&mut out, self.token.as_deref());
        put_u16(&mut out, self.sequences.len());
        for (name, value) in self.sequences.iter().take(usize::from(u16::MAX)) {
            put(&mut out, name.as_bytes());
            out.extend(value.to_le_bytes());
        }
        put_u32(&mut out, self.entries.len());
        self.entries.iter().for_each(|entry| entry.encode(&mut out));
        out
    }

    /// Reads the payload of a record.
    ///
    /// # Errors
    /// [`CorruptKind::Payload`].
    pub fn decode(payload: &[u8]) -> Result<Self, CorruptKind> {
        let mut input = Input(payload);
        input.intent().ok_or_else(|| input.damaged(payload))
    }

    /// The token alone, without the work of reading what stands behind it.
    ///
    /// # Errors
    /// [`CorruptKind::Payload`].
    pub fn decode_token(payload: &[u8]) -> Result<Option<Vec<u8>>, CorruptKind> {
        let mut input = Input(payload);
        input.head().map(|head| head.token).ok_or_else(|| input.damaged(payload))
    }

    /// Whose COMMIT decides, without the work of reading what stands behind it.
    ///
    /// # Errors
    /// [`CorruptKind::Payload`].
    pub fn decode_certified_by(payload: &[u8]) -> Result<Option<String>, CorruptKind> {
        let mut input = Input(payload);
        input.certified_by().ok_or_else(|| input.damaged(payload))
    }
}

impl IntentEntry {
    fn size(&self) -> usize {
        let statement = match &self.statement {
            IntentStatement::Simple(sql) => sql.len(),
            IntentStatement::Extended { text, types, tail } => text.len() + types.len() + tail.len() + 8,
            IntentStatement::Copy { text, rows } => text.len() + 8 * rows.len() + 4,
        };
        statement + self.tag.as_ref().map_or(0, Vec::len) + 16
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let kind = match &self.statement {
            IntentStatement::Simple(_) => 0,
            IntentStatement::Extended { .. } => 1,
            IntentStatement::Copy { .. } => 2,
        };
        out.extend([kind, u8::from(self.alone)]);
        put_option(out, self.tag.as_deref());
        match &self.statement {
            IntentStatement::Simple(sql) => put(out, sql),
            IntentStatement::Extended { text, types, tail } => [text, types, tail].iter().for_each(|b| put(out, b)),
            IntentStatement::Copy { text, rows } => {
                put(out, text);
                put_u32(out, rows.len());
                rows.iter().for_each(|row| out.extend(row.0.to_le_bytes()));
            }
        }
    }
}

fn put_u16(out: &mut Vec<u8>, n: usize) {
    out.extend(u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, n: usize) {
    out.extend(u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put(out, bytes);
    }
}

/// What stands before the sequences.
struct Head {
    certified_by: Option<String>,
    members: Vec<String>,
    context: Context,
    token: Option<Vec<u8>>,
}

/// What is left to read. `None` everywhere: it does not have the form.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let n = self.count()?;
        self.take(n).map(<[u8]>::to_vec)
    }

    fn option(&mut self) -> Option<Option<Vec<u8>>> {
        match self.u8()? {
            0 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }

    fn flag(&mut self) -> Option<bool> {
        self.u8().filter(|b| *b < 2).map(|b| b == 1)
    }

    fn damaged(&self, payload: &[u8]) -> CorruptKind {
        let at = payload.len() - self.0.len();
        CorruptKind::Payload(format!("an intent that ends or is damaged at byte {at} of {}", payload.len()))
    }

    /// Version and what stands right behind it.
    fn certified_by(&mut self) -> Option<Option<String>> {
        match self.u8()? {
            version if !VERSIONS.contains(&version) => None,
            1 => Some(None),
            _ => self.option()?.map(String::from_utf8).transpose().ok(),
        }
    }

    fn head(&mut self) -> Option<Head> {
        let certified_by = self.certified_by()?;
        let members = (0..self.u8()?).map(|_| String::from_utf8(self.text()?).ok()).collect::<Option<_>>()?;
        let user = self.option()?;
        let parameters = (0..u16::from_le_bytes(self.array()?)).map(|_| Some((self.text()?, self.text()?)));
        let parameters = parameters.collect::<Option<_>>()?;
        let settings = (0..u16::from_le_bytes(self.array()?)).map(|_| self.text()).collect::<Option<_>>()?;
        let context = Context { user, parameters, settings };
        Some(Head { certified_by, members, context, token: self.option()? })
    }

    fn intent(&mut self) -> Option<Intent> {
        let Head { certified_by, members, context, token } = self.head()?;
        let sequences = (0..u16::from_le_bytes(self.array()?))
            .map(|_| Some((String::from_utf8(self.text()?).ok()?, i64::from_le_bytes(self.array()?))));
        let sequences = sequences.collect::<Option<_>>()?;
        let entries = (0..self.count()?).map(|_| self.entry()).collect::<Option<_>>()?;
        let whole = self.0.is_empty();
        whole.then_some(Intent { members, context, token, entries, sequences, certified_by })
    }

    fn entry(&mut self) -> Option<IntentEntry> {
        let (kind, alone, tag) = (self.u8()?, self.flag()?, self.option()?);
        let statement = match kind {
            0 => IntentStatement::Simple(self.text()?),
            1 => IntentStatement::Extended { text: self.text()?, types: self.text()?, tail: self.text()? },
            2 => {
                let text = self.text()?;
                let rows = (0..self.count()?).map(|_| Some(Position(u64::from_le_bytes(self.array()?))));
                IntentStatement::Copy { text, rows: rows.collect::<Option<_>>()? }
            }
            _ => return None,
        };
        Some(IntentEntry { statement, tag, alone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Intent {
        let entry = |statement, tag: Option<&str>, alone| IntentEntry {
            statement,
            tag: tag.map(|t| t.as_bytes().to_vec()),
            alone,
        };
        Intent {
            members: vec!["pg1".into(), "pg2".into()],
            context: Context {
                user: Some(b"app".to_vec()),
                parameters: vec![(b"DateStyle".to_vec(), b"ISO".to_vec())],
                settings: vec![b"SET search_path = a".to_vec()],
            },
            token: Some(b"t-1".to_vec()),
            sequences: vec![("public.s".into(), -3)],
            certified_by: Some("pg2".into()),
            entries: vec![
                entry(IntentStatement::Simple(b"UPDATE t SET v = 1 WHERE id = 2".to_vec()), Some("UPDATE 1"), false),
                entry(
                    IntentStatement::Extended {
                        text: b"INSERT INTO t VALUES ($1)".to_vec(),
                        types: vec![0, 0],
                        tail: vec![0, 1, 2, 255],
                    },
                    Some("INSERT 0 1"),
                    false,
                ),
                entry(
                    IntentStatement::Copy {
                        text: b"COPY t FROM STDIN".to_vec(),
                        rows: vec![Position(3), Position(u64::MAX)],
                    },
                    None,
                    true,
                ),
            ],
        }
    }

    #[test]
    fn reads_what_it_writes() {
        for intent in [Intent::default(), sample()] {
            assert_eq!(Intent::decode_token(&intent.encode()), Ok(intent.token.clone()));
            assert_eq!(Intent::decode_certified_by(&intent.encode()), Ok(intent.certified_by.clone()));
            assert_eq!(Intent::decode(&intent.encode()), Ok(intent));
        }
    }

    #[test]
    fn reads_version_1() {
        let intent = Intent { certified_by: None, ..sample() };
        let mut bytes = intent.encode();
        assert_eq!(bytes.drain(..2).collect::<Vec<_>>(), [2, 0]);
        bytes.insert(0, 1);
        assert_eq!(Intent::decode_token(&bytes), Ok(intent.token.clone()));
        assert_eq!(Intent::decode_certified_by(&bytes), Ok(None));
        assert_eq!(Intent::decode(&bytes), Ok(intent));
        for unknown in [0, 3, 255] {
            bytes[0] = unknown;
            assert!(Intent::decode(&bytes).is_err(), "version {unknown}");
        }
    }

    #[test]
    fn a_cut_or_longer_payload_is_found() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert!(matches!(Intent::decode(&bytes[..length]), Err(CorruptKind::Payload(_))), "cut at {length}");
        }
        assert!(Intent::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}
