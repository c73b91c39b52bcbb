//! Plain text in aligned columns.

/// On which side of its column a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// Renders `rows` under `heads`, two spaces between columns, no spaces at the ends of lines.
///
/// Rows are as wide as `heads`; what is missing stays empty.
pub(super) fn render(heads: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = heads.iter().map(|(name, _)| (*name).to_owned()).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines() {
        let mut rendered = String::new();
        for ((cell, width), (_, side)) in line.iter().zip(&widths).zip(heads) {
            let padding = " ".repeat(width - cell.chars().count());
            match side {
                Side::Left => rendered.extend([cell.as_str(), &padding, "  "]),
                Side::Right => rendered.extend([padding.as_str(), cell, "  "]),
            }
        }
        text.push_str(rendered.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_figures_right() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["größe".into(), "1000".into()]];
        let text = render(&[("NAME", Side::Left), ("N", Side::Right)], &rows);
        assert_eq!(text, "NAME      N\na         1\ngröße  1000");
    }
}
