package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"eventshop.example/cmd/shop/internal/term"
)

// printJSON writes one JSON document. It escapes characters that could control a terminal, so that
// programs read the original text and people can look at it safely.
func printJSON(out io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(out, escapeUnprintable(b.String()))
	return err
}

// printJSONLine writes one JSON document on one line, escaped as by printJSON.
func printJSONLine(out io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(out, escapeUnprintable(b.String()))
	return err
}

// escapeUnprintable replaces unprintable characters in a JSON document by \u and four hexadecimal
// digits per UTF-16 unit. They can only occur in its strings.
func escapeUnprintable(document string) string {
	var b strings.Builder
	for _, r := range document {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// table writes rows under a heading, in columns that fit the terminal.
func table(out io.Writer, heading string, rows [][]string) error {
	return term.Table(out, heading, rows)
}

// line prepares text from outside for one line of a terminal: it removes control characters, which
// could move the cursor or hide what follows, and cuts the text after most runes; 0 is no limit. ""
// becomes "-".
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

// clean replaces control and formatting characters except line breaks and tabs.
func clean(s string) string { return term.Clean(s) }

// indent writes the lines of a text indented by two spaces.
func indent(out io.Writer, text string) {
	for l := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintf(out, "  %s\n", strings.TrimRight(clean(l), "\n"))
	}
}

// plural formats a number with the matching word.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// number formats a count for a table.
func number[N int | int32 | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// asking shows until stop is called that services are being asked, one of which may be frozen.
func (e *env) asking() (stop func()) { return term.Start(e.errOut, "asking the services", 0).Stop }
