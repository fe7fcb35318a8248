//! What a comparison needs: the proxy with its members, and one bare server that is set up like a member.

use std::time::Duration;

use super::corpus::Topic;
use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member, MemberOptions};
use crate::sql::Endpoint;
use crate::{Options, Result};

/// Settings of all servers: nothing runs at moments of its own, and no flush is waited for, since no server is killed. No
/// transaction can be prepared, as is PostgreSQL's default.
const SETTINGS: [&str; 4] = ["autovacuum=off", "max_prepared_transactions=0", "fsync=off", "jit=off"];

/// [`SETTINGS`], as members take them.
pub(super) fn settings() -> Vec<String> {
    SETTINGS.map(str::to_owned).to_vec()
}

/// No member is slow here, however busy the machine is: this is about answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tables that hold values which no two servers share begin so.
const VOLATILE: &str = "v_";

/// Proxy, members and the bare server. Fields are dropped in order: the run's folder, with the cluster, last.
#[derive(Debug)]
pub(super) struct Environment {
    bare: Member,
    cluster: Cluster,
}

impl Environment {
    pub(super) async fn start(options: &Options) -> Result<Self> {
        let settings = settings();
        let member_timeout = PATIENCE;
        let setup = ClusterOptions { member_settings: settings.clone(), member_timeout, ..ClusterOptions::default() };
        let mut server = MemberOptions::new("bare", &setup.database);
        server.settings = settings;
        let cluster = Cluster::start(options, setup).await?;
        let bare = Member::start(cluster.home(), server).await?;
        Ok(Self { bare, cluster })
    }

    /// The proxy.
    pub(super) fn proxied(&self) -> Endpoint {
        self.cluster.endpoint()
    }

    /// The bare server.
    pub(super) fn bare(&self) -> Endpoint {
        self.bare.endpoint()
    }

    /// An empty schema for a topic, on both sides.
    pub(super) async fn make_schema(&self, topic: &Topic) -> Result<()> {
        let schema = topic.schema();
        self.both(&format!("drop schema if exists {schema} cascade; create schema {schema}")).await
    }

    /// What [`Environment::make_schema`] made is gone, with all that is in it.
    pub(super) async fn drop_schema(&self, topic: &Topic) -> Result<()> {
        self.both(&format!("drop schema if exists {} cascade", topic.schema())).await
    }

    async fn both(&self, sql: &str) -> Result<()> {
        self.proxied().execute(sql).await?;
        self.bare().execute(sql).await
    }

    /// All members are enabled, hold the same, and the same as the bare server, which ran the same statements.
    pub(super) async fn equal(&self) -> Result<()> {
        self.cluster.expect_all_enabled().await?;
        let members: Vec<&Member> = self.cluster.members.iter().collect();
        members_equal(&members, EqualityOptions::default()).await?;
        let like_bare = EqualityOptions { passing_over: Some(VOLATILE), ..EqualityOptions::default() };
        members_equal(&[&self.bare, &self.cluster.members[0]], like_bare).await?;
        Ok(())
    }
}
