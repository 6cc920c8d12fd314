package scenarios

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"

	"eventshop.example/ops/jsonhttp"
)

// TestWhatServicesTellIsQuoted: reasons and details may be a customer's text.
func TestWhatServicesTellIsQuoted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\x1b[2J", "\u009b31m", "\u202e", "a\nb", "\xff"} {
		var out bytes.Buffer
		s := &shop{report: Report{Seen: func(_ time.Time, said string) { out.WriteString(said) }}}
		s.say("%s  %s: %s", "id", "payment", text)
		out.WriteString((&jsonhttp.Problem{Status: 400, Detail: text}).Error())
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q is reported: %q", text, out.String())
		}
	}
}
