package cli

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"eventshop.example/lab/faults"
	"eventshop.example/ops/verify"
)

// TestFaultsArePrintable: observations and failures may repeat the text of a record.
func TestFaultsArePrintable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\x1b[2J", "\u009b31m", "\u202e", "a\tb", "\xff"} {
		var out bytes.Buffer
		printFault(&out, faults.Result{Seen: []string{text}, Failures: []string{"one\ntwo " + text}})
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q is printed: %q", text, out.String())
		}
		if !strings.Contains(out.String(), "       one\n") {
			t.Errorf("lines run together: %q", out.String())
		}
	}
}

func TestFaultReports(t *testing.T) {
	t.Parallel()
	results := []faults.Result{
		{Fault: faults.Fault{Name: "one", Family: "some", Done: "this", Expect: "that"}, Took: 2500 * time.Millisecond, Seen: []string{"much"},
			Figures:  faults.Figures{Orders: 3, Ended: map[string]int{"DELIVERED": 2, "CANCELLED": 1}, Retries: 1, DeadLetters: 2, Recovered: 1600 * time.Millisecond},
			Findings: []verify.Finding{{Invariant: "I1"}}},
		{Fault: faults.Fault{Name: "two", Family: "some"}, Failures: []string{"no order"},
			Findings: []verify.Finding{{Invariant: "I7", Breaches: []string{"event lost"}}}},
	}
	var text, doc, reported strings.Builder
	printFaults(&text, results)
	faultsMarkdown(&doc, results)
	for _, r := range results {
		printFault(&reported, r)
	}
	for _, c := range []struct{ in, want string }{
		{text.String(), `ok +one +3 +2 +1 +0 +1 +2 +0 +1.6 s +2.5 s +ok`},
		{text.String(), `NOT +two .*BREACH I7`},
		{doc.String(), `\| this \| that \| 3 orders, 1 retry, 2 dead letters \| 2 s \|`},
		{doc.String(), `not as expected`},
		{reported.String(), `ok   3 orders: 2 DELIVERED, 1 CANCELLED; 1 retry, 2 dead letters; much; verify ok; 2.5 s`},
		{reported.String(), `no order`},
		{reported.String(), `I7: event lost`},
	} {
		if !regexp.MustCompile(c.want).MatchString(c.in) {
			t.Errorf("no %q in\n%s", c.want, c.in)
		}
	}
	b, err := json.Marshal(faultsJSON(results, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		OK     bool
		Faults []struct {
			Name      string
			OK        bool
			Recovered float64 `json:"recoveredSeconds"`
			Breaches  []string
		}
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if back.OK || len(back.Faults) != 2 || !back.Faults[0].OK || back.Faults[0].Recovered != 1.6 || !slices.Equal(back.Faults[1].Breaches, []string{"I7: event lost"}) {
		t.Errorf("JSON: %s", b)
	}
}
