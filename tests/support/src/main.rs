//! `scripted-model [PORT]`: the scripted model as a program, for tests that are not written in Rust. Prints its
//! base URL; scripts are added with `POST /_scripts` (a JSON list of `{marker, turns}`).

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = match std::env::args().nth(1).map(|text| text.parse()) {
        None => 0,
        Some(Ok(port)) => port,
        Some(Err(_)) => {
            eprintln!("usage: scripted-model [PORT]; CONTRIBUTING.md has an example");
            std::process::exit(2);
        }
    };
    let model = manyhands_testing::model::Model::start(port, Vec::new()).await?;
    println!("{}", model.base_url());
    std::future::pending().await
}
