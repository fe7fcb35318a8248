//! Tables: made once, whoever starts at the same time.

use store_client::Store;

use crate::fixture::{Fixture, quick, url};

#[tokio::test]
async fn clients_that_start_at_once_make_the_tables_once() {
    let fixture = Fixture::bare().await;
    let error = fixture.store().session().await.err().expect("no tables");
    assert!(error.to_string().contains("call migrate first") && !error.is_retryable(), "{error}");
    let stores = vec![fixture.store(); 8];
    for done in futures::future::join_all(stores.iter().map(Store::migrate)).await {
        done.expect("tables");
    }
    fixture.session().await.append("q", "x").await.expect("append");
    fixture.member.endpoint().execute("update store_schema set version = 99").await.expect("update");
    for error in
        [fixture.store().migrate().await.expect_err("newer"), fixture.store().session().await.err().expect("newer")]
    {
        assert!(error.to_string().contains("use a newer one") && !error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn hosts_are_tried_in_order_and_bad_urls_say_what_is_allowed() {
    let fixture = Fixture::start().await;
    let port = fixture.member.port();
    let closed = scenarios::cluster::free_port().expect("a port");
    for url in [
        format!("postgresql://postgres@127.0.0.1:{closed},127.0.0.1:{port}/bench"),
        format!("host=127.0.0.1,127.0.0.1 port={closed},{port} user=postgres dbname=bench"),
    ] {
        Store::open(&url)
            .expect("a URL")
            .session()
            .await
            .expect("the second host")
            .append("q", "x")
            .await
            .expect("append");
    }
    for bad in ["http://x", "host=a port=notanumber", "postgresql://h:1:2/x"] {
        let error = Store::open(bad).expect_err("no URL");
        assert!(error.to_string().contains("allowed:") && !error.is_retryable(), "{bad}: {error}");
    }
    let options = store_client::Options { retry_limit: std::time::Duration::from_millis(200), ..quick() };
    let error = Store::with_options(&url(closed), options).expect("a URL").session().await.err().expect("nobody there");
    assert!(error.is_retryable() && !error.is_unknown_outcome(), "{error}");
}
