//! The page: Markdown, and files of charts beside it.

use std::path::{Path, PathBuf};

use benches::stores::Failed;

use crate::plot::Chart;

/// A page that is being written.
#[derive(Debug)]
pub(super) struct Page {
    folder: PathBuf,
    text: String,
}

impl Page {
    /// An empty page, to be written into a folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), text: String::new() }
    }

    /// The headline.
    pub(super) fn title(&mut self, text: &str) {
        self.line("# ", text);
    }

    /// The headline of a section.
    pub(super) fn section(&mut self, text: &str) {
        self.line("## ", text);
    }

    /// A paragraph.
    pub(super) fn text(&mut self, text: &str) {
        self.line("", text);
    }

    fn line(&mut self, mark: &str, text: &str) {
        self.text.push_str(mark);
        self.text.push_str(text);
        self.text.push_str("\n\n");
    }

    /// A table; all columns but the first are figures.
    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let head: Vec<String> = head.iter().map(|column| (*column).to_owned()).collect();
        let rule =
            (0..head.len()).map(|at| if at == 0 { "---".to_owned() } else { "---:".to_owned() }).collect();
        for row in [&head, &rule].into_iter().chain(rows) {
            self.text.push_str("| ");
            self.text.push_str(&row.join(" | "));
            self.text.push_str(" |\n");
        }
        self.text.push('\n');
    }

    /// A chart in a file of its own, unless there is nothing on it.
    pub(super) fn chart(&mut self, name: &str, chart: &Chart) -> Result<(), Failed> {
        if chart.series.iter().all(|series| series.points.is_empty()) {
            return Ok(());
        }
        let file = format!("{name}.svg");
        chart.write(&self.folder.join(&file))?;
        self.text(&format!("![{}]({file})", chart.title));
        Ok(())
    }

    /// Writes the page, over what is there.
    pub(super) fn write(self) -> Result<PathBuf, Failed> {
        let path = self.folder.join("report.md");
        std::fs::write(&path, self.text.trim_end().to_owned() + "\n")?;
        Ok(path)
    }
}
