//! TLS and SCRAM-SHA-256, from the client to the proxy and from the proxy to its members; wrong passwords.

use super::ending;
use crate::clients::{psql, run_python};
use crate::cluster::{Certificates, Cluster, ClusterOptions, ProxyUser};
use crate::sql::Endpoint;
use crate::{Failure, Options, Result, Summary, fail};

const MEMBER_PASSWORD: &str = "members-own";

pub(super) async fn run(options: Options) -> Result<Summary> {
    let user = ProxyUser {
        name: "app".to_owned(),
        password: "app-secret".to_owned(),
        member_user: "postgres".to_owned(),
        member_password: MEMBER_PASSWORD.to_owned(),
    };
    let setup = ClusterOptions {
        tls: true,
        member_password: Some(MEMBER_PASSWORD.to_owned()),
        users: vec![user],
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&options, setup).await?;
    let endpoint = cluster.endpoint();
    let files = cluster.certificates.clone().ok_or_else(|| Failure::new("no certificates"))?;
    encrypted(&endpoint, &files).await?;
    wrong_passwords(&endpoint).await?;
    let printed = run_python("psycopg_app.py", &[&format!("{}?sslmode=require", endpoint.url())], &[]).await?;
    printed.expect("OK")?;
    if cluster.proxy.is_some() {
        members_see_tls(&cluster).await?;
    }
    let rows = ending(&cluster).await?;
    Ok(Summary::default().with("rows", rows))
}

async fn encrypted(endpoint: &Endpoint, files: &Certificates) -> Result<()> {
    let verified = Endpoint {
        database: format!("{}?sslmode=verify-full&sslrootcert={}", endpoint.database, files.authority.display()),
        ..endpoint.clone()
    };
    psql(&verified, &["-c", r"\conninfo"]).await?.expect("SSL connection (protocol: TLSv1.")?;
    psql(&verified, &["-c", "create table t(i int primary key); insert into t values (1)"])
        .await?
        .expect("INSERT 0 1")?;
    // Encryption is offered, not forced.
    let plain = endpoint.database(&format!("{}?sslmode=disable", endpoint.database));
    psql(&plain, &["-At", "-c", "select i from t"]).await?.expect("1\n")?;
    let strangers = endpoint.database(&format!("{}?sslmode=verify-full&sslrootcert=/dev/null", endpoint.database));
    let refused = psql(&strangers, &["-c", "select 1"]).await?;
    if refused.code == 0 {
        return fail("psql accepted a certificate that nobody signed");
    }
    Ok(())
}

async fn wrong_passwords(endpoint: &Endpoint) -> Result<()> {
    let wrong = [
        (endpoint.user.as_str(), Some("wrong"), "password authentication failed"),
        (endpoint.user.as_str(), None, "password"),
        ("nobody_at_all", Some("app-secret"), "password authentication failed"),
    ];
    for (user, password, told) in wrong {
        let attempt = Endpoint { user: user.to_owned(), password: password.map(str::to_owned), ..endpoint.clone() };
        psql(&attempt, &["-w", "-c", "select 1"]).await?.expect_error(told, 2)?;
    }
    Ok(())
}

/// Every connection that the proxy holds to a member is encrypted.
async fn members_see_tls(cluster: &Cluster) -> Result<()> {
    // A session that is open while we look.
    let session = cluster.endpoint().connect().await?;
    session.simple_query("select * from t").await?;
    for member in &cluster.members {
        let counts = member
            .endpoint()
            .rows(
                "select count(*) filter (where s.ssl), count(*) filter (where not s.ssl) \
                 from pg_stat_ssl s join pg_stat_activity a using (pid) \
                 where a.backend_type = 'client backend' and a.pid <> pg_backend_pid()",
            )
            .await?;
        let counts: Vec<String> = counts.into_iter().flatten().flatten().collect();
        if counts.len() != 2 || counts[0] == "0" || counts[1] != "0" {
            return fail(format!("{} sees [encrypted, plain] connections: {counts:?}", member.name()));
        }
    }
    Ok(())
}
