package term

import (
	"bytes"
	"io"
	"strings"
)

// Style is a text style on a terminal with colours.
type Style string

// The styles, as SGR sequences of ECMA-48. The eight basic colours follow the terminal's theme.
const (
	Bold   Style = "\x1b[1m"
	Dim    Style = "\x1b[2m"
	Red    Style = "\x1b[31m"
	Green  Style = "\x1b[32m"
	Yellow Style = "\x1b[33m"
	Cyan   Style = "\x1b[36m"
)

const reset = "\x1b[0m"

// styleAt returns the style sequence or the end sequence that p begins with, or "".
func styleAt(p []byte) string {
	if p[0] != '\x1b' {
		return ""
	}
	for _, code := range []Style{Bold, Dim, Red, Green, Yellow, Cyan, reset} {
		if bytes.HasPrefix(p, []byte(code)) {
			return string(code)
		}
	}
	return ""
}

// Paint returns the text in a style, or unchanged if out has no colours.
func Paint(out io.Writer, s Style, text string) string {
	if o, ok := out.(*Out); !ok || !o.colour || text == "" {
		return text
	}
	return string(s) + text + reset
}

// State paints the name of a state in the colour of its meaning.
func State(out io.Writer, state string) string {
	switch word, _, _ := strings.Cut(state, " "); word {
	case "ok", "ready", "DELIVERED", "CONFIRMED", "SHIPPED", "resolved", "closed":
		return Paint(out, Green, state)
	case "not", "NOT", "BREACH", "MISS", "dead", "failed", "open", "ERROR", "REFUND_FAILED":
		return Paint(out, Red, state)
	case "paused", "stopped", "CANCELLING", "CANCELLED", "PENDING", "WARN", "retrying", "held":
		return Paint(out, Yellow, state)
	case "DEBUG", "external", "-":
		return Paint(out, Dim, state)
	}
	return state
}

// unpaint splits a cell into its text and the style of the whole cell.
func unpaint(cell string) (text string, s Style) {
	if cell == "" {
		return "", ""
	}
	code := styleAt([]byte(cell))
	if code == "" {
		return cell, ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(cell, code), reset), Style(code)
}
