package jsonhttp

import (
	"strings"
	"testing"
	"unicode"
)

// TestProblemsArePrintable: a service's reasons may repeat the text of a record.
func TestProblemsArePrintable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\x1b[2J", "\u009b31m", "\u202e", "a\nb", "\xff"} {
		for _, p := range []*Problem{{Detail: text}, {Title: text}, {Detail: "no", Errors: []Fault{{text, "bad"}, {"key", text}}}} {
			if got := p.Error(); strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is told as %q", text, got)
			}
		}
	}
	if got := (&Problem{Detail: "it is so"}).Error(); got != "it is so" {
		t.Errorf("plain text is told as %q", got)
	}
}
