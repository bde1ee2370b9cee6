//! The table of faults: `docs/reliability.json`, and what `docs/reliability.md` shows of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::workspace;

const FILE: &str = "docs/reliability.json";
const PAGE: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- faults: written by UPDATE_DOCS=1 tests/run.sh engines -->\n";
const END: &str = "<!-- end of faults -->";

/// Notes what came of a fault, where that is asked for.
pub(crate) fn note(fault: &str, injected: usize, report: &Value) -> anyhow::Result<()> {
    if std::env::var_os("UPDATE_DOCS").is_none() {
        return Ok(());
    }
    let row = json!({
        "fault": fault,
        "injected": injected,
        "acked": report["acked"],
        "lost": report["lost"],
        "duplicated": report["duplicated"],
        "misordered": report["misordered"],
        "recover_ms": report["delivery_ms"]["max"].as_f64().map(f64::round),
        "command": format!("FAULTS={} tests/run.sh engines", std::env::var("FAULTS").unwrap_or_else(|_| "2".to_owned())),
    });
    let mut rows = rows()?;
    rows.insert(fault.to_owned(), row);
    let rows: Vec<&Value> = rows.values().collect();
    std::fs::write(workspace().join(FILE), serde_json::to_string_pretty(&rows)? + "\n")?;
    let page = std::fs::read_to_string(workspace().join(PAGE))?;
    Ok(std::fs::write(workspace().join(PAGE), shown(&page)?)?)
}

fn rows() -> anyhow::Result<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(workspace().join(FILE)).unwrap_or_else(|_| "[]".to_owned());
    let rows: Vec<Value> = serde_json::from_str(&text)?;
    Ok(rows.into_iter().map(|row| (row["fault"].as_str().unwrap_or_default().to_owned(), row)).collect())
}

/// Returns the page with the table of the rows that are noted.
fn shown(page: &str) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("the page has no place for faults")?;
    let (_, after) = rest.split_once(END).context("the page has no end of faults")?;
    let mut table = String::from(
        "| fault | injected | acknowledged | lost | doubled | out of order | longest delivery, ms |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows()?.values() {
        let cell = |key: &str| row[key].to_string().trim_matches('"').to_owned();
        let keys = ["fault", "injected", "acked", "lost", "duplicated", "misordered", "recover_ms"];
        writeln!(table, "| {} |", keys.map(cell).join(" | "))?;
    }
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[test]
fn the_page_shows_the_rows() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(workspace().join(PAGE))?;
    assert_eq!(shown(&page)?, page);
    for (fault, row) in rows()? {
        for count in ["lost", "duplicated", "misordered"] {
            assert_eq!(row[count], 0, "{count} in {fault}");
        }
    }
    Ok(())
}
