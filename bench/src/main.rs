//! The benchmark program. Each module measures one thing and answers rows.

mod template;

fn main() -> anyhow::Result<()> {
    for row in template::run(1.0)? {
        println!("{}", serde_json::to_string(&row)?);
    }
    Ok(())
}
