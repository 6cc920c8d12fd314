package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// printJSON writes one JSON document.
func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows under a heading, in columns.
func table(out io.Writer, heading string, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(heading, " ", "\t"))
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

// line makes what somebody else wrote fit for one line of a terminal: without control
// characters, which could move the cursor or hide what follows, and not longer than
// most runes; 0 is any length. "" shows as "-".
func line(s string, most int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " ")
	s = clean(s)
	if runes := []rune(s); most > 0 && len(runes) > most {
		s = string(runes[:most-1]) + "…"
	}
	if s == "" {
		return "-"
	}
	return s
}

// clean replaces control and formatting characters but line breaks and tabs.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}

// indent writes a text of several lines behind two spaces.
func indent(out io.Writer, text string) {
	for l := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintf(out, "  %s\n", strings.TrimRight(clean(l), "\n"))
	}
}

// plural counts things.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
