//! The real Apache ActiveMQ with its messages in the database: Java programs of `scenarios/activemq`.

use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::clients::{Java, JavaProcess};
use crate::cluster::free_port;
use crate::sql::Endpoint;

/// The smallest class path that an embedded broker with a JDBC store runs on.
const JARS: &[&str] = &[
    "activemq-broker",
    "activemq-client",
    "activemq-jdbc-store",
    "activemq-kahadb-store",
    "activemq-protobuf",
    "activemq-openwire-legacy",
    "geronimo-jms_1.1_spec",
    "geronimo-j2ee-management-1.1-spec",
    "slf4j-api",
    "slf4j-simple",
    "hawtbuf",
    "jaxb-api",
    "commons-dbcp",
    "commons-pool",
    "postgresql",
];
const SOURCES: &[&str] = &[
    "activemq/StoreBroker.java",
    "activemq/Journal.java",
    "activemq/StoreLoad.java",
    "activemq/BrokerMain.java",
    "activemq/TakeoverClient.java",
    "activemq/FaultsJournal.java",
    "activemq/Interruptions.java",
    "activemq/FaultsLoad.java",
];
/// Longest start of a Java program, 17 failing DDL statements included.
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// How brokers agree who is the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locker {
    /// A row lock in a transaction that stays open for the broker's life.
    Default,
    /// A row that says until when.
    Lease,
}

impl Locker {
    /// As the Java programs take it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Lease => "lease",
        }
    }
}

/// The compiled programs.
#[derive(Debug)]
pub struct ActiveMq {
    java: Java,
}

impl ActiveMq {
    /// Compiles them.
    ///
    /// # Errors
    /// A package is missing.
    pub async fn compile() -> Result<Self> {
        Ok(Self { java: Java::compile(SOURCES, JARS).await? })
    }

    /// An embedded broker with producers and consumers; ready when this returns.
    ///
    /// # Errors
    /// The broker does not start.
    pub async fn load(
        &self,
        endpoint: &Endpoint,
        locker: Locker,
        size: (usize, usize),
        folder: &Path,
    ) -> Result<JavaProcess> {
        let (producers, messages) = (size.0.to_string(), size.1.to_string());
        let url = endpoint.jdbc_url();
        let log = folder.join(format!("activemq-{}.log", locker.name()));
        let mut load = self.java.start("StoreLoad", &[&url, locker.name(), &producers, &messages], log)?;
        load.wait_for("READY", START_LIMIT).await?;
        Ok(load)
    }

    /// A broker as a process, and the port that it will listen on once it is the master.
    ///
    /// # Errors
    /// It does not start.
    pub async fn broker(&self, endpoint: &Endpoint, name: &str, folder: &Path) -> Result<(JavaProcess, u16)> {
        let port = free_port()?;
        let mut broker = self.broker_at(endpoint, name, (Locker::Default, port), folder)?;
        broker.wait_for("STARTING", START_LIMIT).await?;
        Ok((broker, port))
    }

    /// A broker as a process that will listen on that port. It prints `MASTER` when it has the lock, and ends when it loses it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn broker_at(
        &self,
        endpoint: &Endpoint,
        name: &str,
        (locker, port): (Locker, u16),
        folder: &Path,
    ) -> Result<JavaProcess> {
        let log = folder.join(format!("activemq-{name}.log"));
        self.java.start("BrokerMain", &[&endpoint.jdbc_url(), name, &port.to_string(), locker.name()], log)
    }

    /// Producers, consumers and durable subscribers on two brokers, for that long, with that pause between two messages.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn faults_load(
        &self,
        ports: [u16; 2],
        (length, pause): (Duration, Duration),
        log: &Path,
    ) -> Result<JavaProcess> {
        let [first, second] = ports.map(|port| port.to_string());
        let (seconds, pause) = (length.as_secs().to_string(), pause.as_millis().to_string());
        self.java.start("FaultsLoad", &[&first, &second, &seconds, &pause], log.to_owned())
    }

    /// Producers and a consumer on two brokers.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn takeover_client(&self, ports: (u16, u16), messages: usize, log: &Path) -> Result<JavaProcess> {
        let (first, second, messages) = (ports.0.to_string(), ports.1.to_string(), messages.to_string());
        self.java.start("TakeoverClient", &[&first, &second, &messages], log.to_owned())
    }
}
