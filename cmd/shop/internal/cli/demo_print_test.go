package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"

	"eventshop.example/lab/scenarios"
)

// TestScenariosArePrintable: the result of a scenario may repeat a customer's text.
func TestScenariosArePrintable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\x1b[2J", "\u009b31m", "\u202e", "a\nb", "\xff"} {
		var out bytes.Buffer
		if err := printScenarios(&out, []scenarios.Result{{Got: text}}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q is printed: %q", text, out.String())
		}
	}
}

func TestAStepHasItsTime(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.Local)
	if printSeen(&out, at, "OrderCreated"); out.String() != "    03:04:05.678  OrderCreated\n" {
		t.Errorf("%q", out.String())
	}
}
