//! Corpus files: text in, statements out.
//!
//! A statement ends with a semicolon at the end of a line, outside a dollar-quoted body; so several on one line are one
//! message. Lines that begin with `--` before a statement are for the reader. Directives:
//!
//! | line | meaning |
//! |---|---|
//! | `--! session NAME` | what follows runs on this connection (the first is `1`) |
//! | `--! close NAME` | this connection ends |
//! | `--! bind A\|B\|\N` | parameters, as texts, of the next statement, which only the extended protocol can run |
//! | `--! simple`, `--! extended` | the next statement runs in this protocol only |
//! | `--! differs WHY` | the next statement may be answered differently: a known bug, counted |
//! | `--! known WHY` | the next statement is not run, since it would do harm: a known bug, counted |
//! | `--! block` … `--! end` | one message of exactly these lines |
//!
//! Lines behind a statement with `FROM STDIN` are its data, up to `\.`, or up to `\!`: then the client gives up.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Failure, Result, fail};

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Query messages, as psql sends them.
    Simple,
    /// Parse, Describe, Bind, Execute, as drivers send them.
    Extended,
}

impl Protocol {
    /// Both, in the order in which they are run.
    pub(super) const ALL: [Self; 2] = [Self::Simple, Self::Extended];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
        }
    }
}

/// The data of a COPY FROM STDIN, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyData {
    pub(super) bytes: Vec<u8>,
    /// False: the client gives up with CopyFail.
    pub(super) done: bool,
}

/// What the corpus knows of a statement that is not answered as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KnownBug {
    /// It is run, and its answer differs.
    Differs(String),
    /// It is not run: members would differ, or the session would hang.
    NotRun(String),
}

/// One message to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) line: usize,
    pub(super) session: String,
    pub(super) text: String,
    pub(super) parameters: Option<Vec<Option<String>>>,
    pub(super) copy: Option<CopyData>,
    /// Only in this protocol.
    pub(super) only: Option<Protocol>,
    /// A known bug, and what is done about it.
    pub(super) known: Option<KnownBug>,
}

impl Statement {
    /// A statement of the first session, without anything special.
    pub(super) fn plain(line: usize, text: impl Into<String>) -> Self {
        let session = FIRST_SESSION.to_owned();
        Self { line, session, text: text.into(), parameters: None, copy: None, only: None, known: None }
    }

    /// Whether it is run in this protocol.
    pub(super) fn runs_in(&self, protocol: Protocol) -> bool {
        let needs_bind = self.parameters.is_some() && protocol == Protocol::Simple;
        !needs_bind && self.only.is_none_or(|only| only == protocol)
    }
}

/// What a file does, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Run(Statement),
    /// This session ends.
    Close(String),
}

impl Step {
    pub(super) fn statement(&self) -> Option<&Statement> {
        match self {
            Self::Run(statement) => Some(statement),
            Self::Close(_) => None,
        }
    }
}

/// A file, or one run of the generator: runs in a schema of its own, which is named like it.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    /// File name without ending; for a generated topic it tells the seed.
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

impl Topic {
    /// The schema in which its statements run, quoted: a topic may be named like a keyword.
    pub(super) fn schema(&self) -> String {
        let name = self.name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        format!("\"{}\"", name.replace('-', "_"))
    }

    pub(super) fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.steps.iter().filter_map(Step::statement)
    }
}

const FIRST_SESSION: &str = "1";

/// Folder of the corpus.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// All topics of the folder, by name.
pub(super) fn read() -> Result<Vec<Topic>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    let topic = |file: &PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let steps = parse(&fs::read_to_string(file)?).map_err(|failure| failure.during(file.display()))?;
        Ok(Topic { name, steps })
    };
    files.iter().map(topic).collect()
}

/// The steps of one text.
fn parse(text: &str) -> Result<Vec<Step>> {
    let mut reader = Reader { steps: Vec::new(), next: Statement::plain(0, "") };
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((number, line)) = lines.next() {
        if let Some(directive) = line.strip_prefix("--! ") {
            let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
            if word == "block" {
                let body = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "--! end");
                reader.next.text = body.collect::<Vec<_>>().join("\n");
                reader.finish(number, None);
            } else {
                reader.directive(word, rest).map_err(|failure| failure.during(format!("line {number}")))?;
            }
            continue;
        }
        let fresh = reader.next.text.is_empty();
        if fresh && (line.trim().is_empty() || line.starts_with("--")) {
            continue;
        }
        if fresh {
            reader.next.line = number;
        } else {
            reader.next.text.push('\n');
        }
        reader.next.text.push_str(line);
        if line.trim_end().ends_with(';') && !inside_dollar_quote(&reader.next.text) {
            let copy = is_copy_in(&reader.next.text).then(|| data(&mut lines));
            let line = reader.next.line;
            reader.finish(line, copy);
        }
    }
    if reader.next.text.is_empty() { Ok(reader.steps) } else { fail(format!("no end: {}", reader.next.text)) }
}

struct Reader {
    steps: Vec<Step>,
    /// What is known of the next statement.
    next: Statement,
}

impl Reader {
    fn directive(&mut self, word: &str, rest: &str) -> Result<()> {
        match word {
            "session" => rest.clone_into(&mut self.next.session),
            "close" => self.steps.push(Step::Close(rest.to_owned())),
            "bind" => {
                let value = |text: &str| (text != r"\N").then(|| text.to_owned());
                let values = if rest.is_empty() { Vec::new() } else { rest.split('|').map(value).collect() };
                self.next.parameters = Some(values);
            }
            "simple" => self.next.only = Some(Protocol::Simple),
            "extended" => self.next.only = Some(Protocol::Extended),
            "differs" => self.next.known = Some(KnownBug::Differs(rest.to_owned())),
            "known" => self.next.known = Some(KnownBug::NotRun(rest.to_owned())),
            _ => return Err(Failure::new(format!("no directive {word}"))),
        }
        Ok(())
    }

    fn finish(&mut self, line: usize, copy: Option<CopyData>) {
        let following = Statement { session: self.next.session.clone(), ..Statement::plain(0, "") };
        let statement = std::mem::replace(&mut self.next, following);
        self.steps.push(Step::Run(Statement { line, copy, ..statement }));
    }
}

/// The lines of COPY data that follow.
fn data<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> CopyData {
    let mut bytes = Vec::new();
    for (_, line) in lines {
        match line {
            r"\." => break,
            r"\!" => return CopyData { bytes, done: false },
            _ => {
                bytes.extend_from_slice(line.as_bytes());
                bytes.push(b'\n');
            }
        }
    }
    CopyData { bytes, done: true }
}

fn is_copy_in(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.starts_with("copy") && text.contains("from stdin")
}

/// Whether a dollar quote is open at the end of `text`.
fn inside_dollar_quote(text: &str) -> bool {
    let mut open: Option<&str> = None;
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let behind = &rest[start + 1..];
        let length = behind.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(behind.len());
        let is_tag = behind[length..].starts_with('$') && !behind.starts_with(|c: char| c.is_ascii_digit());
        if !is_tag {
            rest = behind;
            continue;
        }
        let tag = &behind[..length];
        match open {
            None => open = Some(tag),
            Some(opened) if opened == tag => open = None,
            Some(_) => {
                rest = behind;
                continue;
            }
        }
        rest = &behind[length + 1..];
    }
    open.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(steps: &[Step]) -> Vec<&str> {
        let text = |step: &'_ Step| match step {
            Step::Run(statement) => Some(statement.text.clone()),
            Step::Close(_) => None,
        };
        steps.iter().filter_map(text).map(|text| &*text.leak()).collect()
    }

    #[test]
    fn statements_end_at_the_end_of_a_line() {
        let steps = parse("-- a\nselect 1; select 2;\nselect\n  3;\n").expect("statements");
        assert_eq!(texts(&steps), ["select 1; select 2;", "select\n  3;"]);
    }

    #[test]
    fn dollar_quotes_and_blocks_hold_a_statement_together() {
        let steps = parse("do $x$ begin\n a := $1;\n $$;$$\nend $x$;\n--! block\nselect ';\n';\n--! end\nselect 1;");
        let steps = steps.expect("statements");
        assert_eq!(texts(&steps), ["do $x$ begin\n a := $1;\n $$;$$\nend $x$;", "select ';\n';", "select 1;"]);
    }

    #[test]
    fn copy_data_and_directives_belong_to_their_statement() {
        let text = "--! session 2\ncopy t from stdin;\n1\ta\n\\.\n--! bind 1|\\N\nselect $1, $2;\n--! close 2\n";
        let steps = parse(text).expect("steps");
        let [Step::Run(copy), Step::Run(bound), Step::Close(closed)] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert_eq!(copy.copy, Some(CopyData { bytes: b"1\ta\n".to_vec(), done: true }));
        assert_eq!(bound.parameters, Some(vec![Some("1".to_owned()), None]));
        assert_eq!((bound.session.as_str(), closed.as_str()), ("2", "2"));
        assert!(!bound.runs_in(Protocol::Simple));
    }

    #[test]
    fn the_whole_corpus_can_be_read() {
        let topics = read().expect("the corpus");
        assert!(topics.iter().all(|topic| topic.statements().next().is_some()));
    }
}
