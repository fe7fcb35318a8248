//! TLS towards the endpoint.

use scenarios::cluster::Certificates;
use store_client::Store;

use crate::fixture::{Fixture, quick, url};

#[tokio::test]
async fn the_certificate_is_verified_where_there_is_something_to_verify_it_against() {
    let fixture = Fixture::encrypted().await;
    let files = fixture.certificates.clone().expect("certificates");
    let encrypted = "select count(*) from pg_stat_activity join pg_stat_ssl using (pid) \
         where ssl and application_name = 'message-store'";
    let place = url(fixture.member.port());
    for (parameters, count) in [
        (String::new(), "1"),
        ("?sslmode=disable".to_owned(), "0"),
        (format!("?sslmode=verify-full&sslrootcert={}", files.authority.display()), "1"),
    ] {
        let store = Store::with_options(&format!("{place}{parameters}"), quick()).expect("a URL");
        store.migrate().await.expect("tables");
        let mut session = store.session().await.expect("a session");
        session.append("q", "1").await.expect("append");
        assert_eq!(fixture.value(encrypted).await, count, "{parameters}");
        session.close().await;
        while fixture.value("select count(*) from pg_stat_activity where application_name = 'message-store'").await
            != "0"
        {}
    }
    let other = tempfile::tempdir().expect("a folder");
    let stranger = Certificates::make(other.path()).expect("certificates").authority;
    let store = Store::with_options(&format!("{place}?sslrootcert={}", stranger.display()), quick()).expect("a URL");
    let error = store.session().await.err().expect("another authority");
    assert!(error.to_string().to_lowercase().contains("certificate") && !error.is_retryable(), "{error}");
}
