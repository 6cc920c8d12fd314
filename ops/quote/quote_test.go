package quote_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"eventshop.example/ops/quote"
)

func TestShown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{ // as a word, as a sentence
		"01936f2e-7a10-7cc3-9d5e-0242ac120002": {"01936f2e-7a10-7cc3-9d5e-0242ac120002", "01936f2e-7a10-7cc3-9d5e-0242ac120002"},
		"":                                     {`""`, ""},
		"two words":                            {`"two words"`, "two words"},
		"Müller":                               {"Müller", "Müller"},
		`a"b`:                                  {`"a\"b"`, `a"b`},
		"\x1b[2J":                              {`"\x1b[2J"`, `"\x1b[2J"`},
		"\u009b2J":                             {`"\u009b2J"`, `"\u009b2J"`},
		"a\u202eb":                             {`"a\u202eb"`, `"a\u202eb"`},
		"a\nb":                                 {`"a\nb"`, `"a\nb"`},
		"a\xff":                                {`"a\xff"`, `"a\xff"`},
		strings.Repeat("a", 80):                {strings.Repeat("a", 80), strings.Repeat("a", 80)},
		strings.Repeat("a", 81):                {strings.Repeat("a", 80) + "…", strings.Repeat("a", 81)},
		strings.Repeat("\x00", 401):            {`"` + strings.Repeat(`\x00`, 80) + `"…`, `"` + strings.Repeat(`\x00`, 400) + `"…`},
	} {
		if got := [2]string{quote.Word(in), quote.Text(in)}; got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
	if long := strings.Repeat("a", 5000); quote.Full(long) != long {
		t.Error("a long text is cut")
	}
	if got := quote.Words([]string{"a", "b c"}); got != `a, "b c"` {
		t.Errorf("words are shown as %s", got)
	}
}

func FuzzShown(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b]0;title\x07", "\u009b", "\u2066\u202e", "\xff\xfe", "\ufeff", "\u00ad", "\U000e0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{quote.Word(s), quote.Text(s), quote.Full(s)} {
			if got == "" && s != "" || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is shown as %q", s, got)
			}
		}
	})
}
