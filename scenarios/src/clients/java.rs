//! Java programs: compiled once per run with the jars of Debian's packages, run as processes of their own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::program::{Printed, to_end};
use crate::{Failure, Result, fail};

/// Where Debian's packages put jars.
const JARS: &str = "/usr/share/java";
/// Longest compilation.
const COMPILE_LIMIT: Duration = Duration::from_secs(120);

/// Compiled classes and the jars that they need.
#[derive(Debug)]
pub struct Java {
    classes: TempDir,
    class_path: String,
}

impl Java {
    /// Compiles all of `sources` (below `scenarios/`) against `jars` (names without `.jar`).
    ///
    /// # Errors
    /// A jar is missing (its package is not installed), or the compiler complains.
    pub async fn compile(sources: &[&str], jars: &[&str]) -> Result<Self> {
        let mut class_path = Vec::new();
        for jar in jars {
            let path = Path::new(JARS).join(format!("{jar}.jar"));
            if !path.exists() {
                return fail(format!(
                    "{} is missing: apt-get install the packages of reference/ACTIVEMQ.md",
                    path.display()
                ));
            }
            class_path.push(path.to_string_lossy().into_owned());
        }
        let classes = tempfile::Builder::new().prefix("raidb-scenario-java-").tempdir()?;
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("javac");
        command.args(["-nowarn", "-proc:none", "-d"]).arg(classes.path()).arg("-cp").arg(class_path.join(":"));
        command.args(sources.iter().map(|source| home.join(source)));
        let printed = to_end(command, COMPILE_LIMIT).await?;
        if printed.code != 0 {
            return fail(format!("javac: {}", printed.err));
        }
        class_path.insert(0, classes.path().to_string_lossy().into_owned());
        Ok(Self { classes, class_path: class_path.join(":") })
    }

    /// Runs the class to its end.
    ///
    /// # Errors
    /// It hangs.
    pub async fn run(&self, class: &str, arguments: &[&str], limit: Duration) -> Result<Printed> {
        to_end(self.command(class, arguments), limit).await
    }

    /// Starts the class; its standard output is read line by line, its standard error goes to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, class: &str, arguments: &[&str], log: PathBuf) -> Result<JavaProcess> {
        let file = std::fs::File::create(&log)?;
        let mut command = self.command(class, arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).kill_on_drop(true);
        let mut child = command.spawn()?;
        let Some(out) = child.stdout.take() else {
            return fail("no standard output");
        };
        Ok(JavaProcess { name: class.to_owned(), child, lines: BufReader::new(out).lines(), log })
    }

    fn command(&self, class: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        // Two cores are shared with members and proxy: a small heap, one collector thread, quick start.
        command.args([
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &self.class_path,
            class,
        ]);
        command.args(arguments).current_dir(self.classes.path());
        command
    }
}

/// A running Java program that reports by lines. Dropping it kills it.
#[derive(Debug)]
pub struct JavaProcess {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl JavaProcess {
    /// The next line; none when the program has ended. Cancel-safe.
    ///
    /// # Errors
    /// What it printed is no text.
    pub async fn next_line(&mut self) -> Result<Option<String>> {
        Ok(self.lines.next_line().await?)
    }

    /// Reads on to a line that starts with `prefix` and returns the rest of it.
    ///
    /// # Errors
    /// Not within `limit`, or the program ended: the end of its log is shown.
    pub async fn wait_for(&mut self, prefix: &str, limit: Duration) -> Result<String> {
        let reading = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Some(rest) = line.strip_prefix(prefix) {
                    return Ok(Some(rest.trim().to_owned()));
                }
            }
            Ok::<_, Failure>(None)
        };
        match timeout(limit, reading).await {
            Ok(Ok(Some(rest))) => Ok(rest),
            Ok(Ok(None)) => fail(format!("{} ended before \"{prefix}\":\n{}", self.name, self.log_tail())),
            Ok(Err(error)) => Err(error),
            Err(_) => fail(format!("{}: no \"{prefix}\" within {limit:?}:\n{}", self.name, self.log_tail())),
        }
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// The operating system refuses.
    pub async fn kill_9(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Not within `limit`, or another exit code than 0.
    pub async fn expect_success(&mut self, limit: Duration) -> Result<()> {
        match timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => fail(format!("{} ended with {status}:\n{}", self.name, self.log_tail())),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => fail(format!("{} did not end within {limit:?}:\n{}", self.name, self.log_tail())),
        }
    }

    /// The end of its standard error.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}
