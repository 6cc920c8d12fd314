package term

import (
	"io"
	"strings"
	"unicode/utf8"
)

const (
	gap = 2 // spaces between columns
	// aside is the minimum width of a last column that is wrapped beside other wrapped columns;
	// narrow is the minimum beside unwrapped ones.
	aside, narrow = 28, 16
	// idLength is the length of a UUID, the longest word that is not broken in such a column.
	idLength = 36
	// hanging is the indent of the lines below a row.
	hanging = 4
)

// Table writes rows under a heading whose words name the columns. A last column that is too wide is
// wrapped at spaces. If that is not enough, the last columns of a row follow below it, each with
// its name, so that an id is not broken and can be copied. A cell may be painted as a whole.
func Table(out io.Writer, heading string, rows [][]string) error {
	return Columns(out, strings.Fields(heading), rows)
}

// Columns is [Table] with column names that may contain spaces or be empty. If all are empty there
// is no heading.
func Columns(out io.Writer, names []string, rows [][]string) error {
	t := table{width: Width(out), names: names, rows: rows}
	if strings.Join(names, "") != "" {
		head := make([]string, len(names))
		for i, name := range names {
			head[i] = Paint(out, Bold, name)
		}
		t.rows = append([][]string{head}, rows...)
	}
	t.measure()
	var b strings.Builder
	for i, row := range t.rows {
		t.write(&b, row, i > 0 || len(t.rows) == len(rows))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

type table struct {
	width  int
	names  []string
	rows   [][]string
	widths []int // of the columns side by side; the others follow below
}

// measure decides how many columns are side by side, and their widths.
func (t *table) measure() {
	n := len(t.names)
	natural, least := make([]int, n), make([]int, n)
	for _, row := range t.rows {
		for i, cell := range row[:min(n, len(row))] {
			text, _ := unpaint(cell)
			natural[i] = max(natural[i], utf8.RuneCountInString(text))
			for _, word := range strings.Fields(text) {
				least[i] = max(least[i], utf8.RuneCountInString(word))
			}
		}
	}
	for beside := n; beside > 0; beside-- {
		room := t.width - gap*(beside-1)
		if beside == n && n > 1 { // the last column, often a sentence, is wrapped into the remaining width
			if left := room - sum(natural[:n-1]); left >= max(narrow, min(least[n-1], idLength)) {
				t.widths = append(natural[:n-1:n-1], min(natural[n-1], left))
				return
			}
			least[n-1] = min(natural[n-1], max(aside, min(least[n-1], idLength)))
		}
		if beside == 1 || sum(least[:beside]) <= room {
			t.widths = shrink(natural[:beside], least[:beside], room)
			return
		}
	}
}

// shrink reduces the widest columns until all fit into the room. It breaks words only if there is
// no other way.
func shrink(natural, least []int, room int) []int {
	widths := append([]int{}, natural...)
	for _, floor := range [][]int{least, make([]int, len(natural))} {
		for sum(widths) > room {
			widest := -1
			for i, w := range widths {
				if w > max(floor[i], 1) && (widest < 0 || w > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			widths[widest]--
		}
	}
	return widths
}

func sum(ns []int) int {
	total := 0
	for _, n := range ns {
		total += n
	}
	return total
}

// write writes a row, with as many lines as its longest cell, and below it the columns that do not
// fit.
func (t *table) write(b *strings.Builder, row []string, below bool) {
	beside := row[:min(len(t.widths), len(row))]
	lines := make([][]string, len(beside))
	height := 0
	for i, cell := range beside {
		if cell == "" {
			continue
		}
		lines[i] = wrapCell(cell, t.widths[i])
		height = max(height, len(lines[i]))
	}
	for n := range height {
		column := 0
		for i := range lines {
			if n >= len(lines[i]) || lines[i][n] == "" {
				continue
			}
			start := sum(t.widths[:i]) + gap*i
			b.WriteString(strings.Repeat(" ", start-column))
			b.WriteString(lines[i][n])
			text, _ := unpaint(lines[i][n])
			column = start + utf8.RuneCountInString(text)
		}
		b.WriteByte('\n')
	}
	if !below {
		return
	}
	var rest []string
	for i := len(beside); i < len(row); i++ {
		if text, _ := unpaint(row[i]); text != "" && text != "-" {
			rest = append(rest, strings.TrimSpace(strings.ToLower(t.names[i])+" "+text))
		}
	}
	if len(rest) > 0 {
		for _, l := range Wrap(strings.Join(rest, ", "), t.width-hanging) {
			b.WriteString(strings.Repeat(" ", hanging) + l + "\n")
		}
	}
}

// wrapCell splits a cell into lines, each painted like the cell.
func wrapCell(cell string, width int) []string {
	text, style := unpaint(cell)
	lines := Wrap(text, width)
	if style != "" {
		for i := range lines {
			lines[i] = string(style) + lines[i] + reset
		}
	}
	return lines
}

// Wrap splits a text into lines of at most width characters, at spaces, or inside a word that is
// longer. An empty text is one empty line.
func Wrap(text string, width int) []string {
	width = max(width, 1)
	if utf8.RuneCountInString(text) <= width {
		return []string{text}
	}
	var lines []string
	current := []rune{}
	for _, word := range strings.Fields(text) {
		runes := []rune(word)
		if len(current) > 0 && len(current)+1+len(runes) <= width {
			current = append(append(current, ' '), runes...)
			continue
		}
		if len(current) > 0 {
			lines = append(lines, string(current))
		}
		for len(runes) > width {
			lines = append(lines, string(runes[:width]))
			runes = runes[width:]
		}
		current = append([]rune{}, runes...)
	}
	return append(lines, string(current))
}
